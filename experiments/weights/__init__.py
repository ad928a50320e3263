"""Weights that others published, read into our networks and written from them."""
