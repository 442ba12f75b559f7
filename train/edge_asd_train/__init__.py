"""Training of the networks that ``edge_asd`` runs; the only package that imports torch."""
