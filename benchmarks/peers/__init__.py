"""One small program a contender, each at its best settings, in a process of its own and where needed its own Python.

They import nothing of Facet but `benchmarks.peers` itself, those named `facet_*` apart: other environments lack it.
"""
