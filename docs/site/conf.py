"""Sphinx's configuration. Whatever a page loads is a file of the site: MathJax, fonts and the search too."""

from importlib.util import find_spec
from pathlib import Path

from docs.site.source import address, code_pages

mathjax = Path(find_spec("sphinx-mathjax-offline").origin).parent / "static" / "mathjax"

project = "OneSDE"
extensions = ["myst_nb", "sphinx.ext.linkcode", "sphinx.ext.mathjax", "sphinx_copybutton"]

myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 4
nb_execution_mode = "off"  # notebooks stand in the repository as they were run

mathjax_path = "tex-svg.js"  # glyphs as paths: no browser refuses fonts of pages that are read as files

highlight_language = "none"
smartquotes = False  # what a docstring has between quotes is a string
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88

html_theme = "furo"
html_title = "OneSDE"
html_static_path = ["static", str(mathjax / "tex-svg.js")]
html_css_files = ["style.css"]
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False
pygments_style = "tango"
pygments_dark_style = "monokai"


def linkcode_resolve(domain, info):
    """Returns the address of the code of an object of the reference."""
    return address(info["module"], info["fullname"])


def setup(app):
    """Adds the pages with code."""
    app.connect("html-collect-pages", lambda app: code_pages())
