"""The steps of `benchmark.py gpu`; each file measures one thing, in a process of its own."""
