"""`demo`: a local page to play with a trained run.

By NiceGUI: a page is Python, and all that the browser loads comes from this machine, which tests/test_page.py holds it to.
"""
