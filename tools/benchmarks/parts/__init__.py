"""What the benchmarks share: timing, videos, peers, tables."""
