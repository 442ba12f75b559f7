"""How good a network or a baseline is, by the official metrics."""
