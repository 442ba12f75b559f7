"""Stands before the real package on the path."""
