"""What runs outside the node: the warm template and the environments forked from it.

It runs on whatever interpreter a function names (CPython 3.8 and later) and so imports the standard library and itself
alone. The node imports `frames` and `descendants` from here too, so that both ends share one definition.
"""
