"""`demo`: a local page to play with a trained run.

By NiceGUI: what it serves is its own and local, it asks nothing of anyone else, and a page is Python. (Gradio would load from
elsewhere and tell its makers, and brings three times the packages.)
"""
