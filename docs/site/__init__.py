"""The site: the pages of the repository and a reference of its docstrings, as HTML that needs no network."""
