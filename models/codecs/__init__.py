"""Codecs, a file a family."""
