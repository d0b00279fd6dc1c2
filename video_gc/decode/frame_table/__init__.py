"""Which packet of a file is which frame, and where to start decoding it."""
