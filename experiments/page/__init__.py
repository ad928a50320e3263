"""`demo`: a local page to play with a trained run.

NiceGUI makes the page: it is Python, and everything that the browser loads comes from this machine, as test_page.py checks.
"""
