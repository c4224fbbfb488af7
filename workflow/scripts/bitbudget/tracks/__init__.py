"""One module a track: what is asked of a model, how its answers are scored, and what is said of both.

`bitbudget.contracts.TRACK` lists what a track must say of itself, and what it may.
"""
