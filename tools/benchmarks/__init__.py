"""The commands of `tools/benchmark.py`, a file for each; what they share is in parts."""
