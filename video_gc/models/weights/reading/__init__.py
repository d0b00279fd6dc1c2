"""Read a file of weights into names and tensors, without running anything in it."""
