"""What `tools/benchmark.py decode` and `loader` measure."""
