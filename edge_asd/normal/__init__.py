"""Alerts that an operator confirms: this is normal."""
