"""The pages, and the script that writes their tables."""
