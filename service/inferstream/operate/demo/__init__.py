"""The demo: a pipeline's example settings on a local stack, with its traffic, live, measured at the end.

`run` does it, `measure` counts, `view` draws; a `Show` (`show`, listed in `shows`) knows one task's events and results.
"""
