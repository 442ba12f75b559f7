"""Which alerts would other thresholds have given?"""
