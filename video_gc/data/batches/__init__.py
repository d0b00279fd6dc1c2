"""Samples → batches, decoded by worker processes or by threads."""
