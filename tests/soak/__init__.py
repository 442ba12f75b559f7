"""A million windows with faults injected at random; see ``soak.py``."""
