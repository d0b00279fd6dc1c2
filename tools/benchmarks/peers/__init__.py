"""What we compare with on data that we have, beyond the benchmarks."""
