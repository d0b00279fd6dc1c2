"""Which packet of a file is which frame, and from where to decode it."""
