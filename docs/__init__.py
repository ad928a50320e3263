"""The pages, the script that writes their tables, and the site."""
