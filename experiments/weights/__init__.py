"""Weights that others published, in and out of our networks."""
