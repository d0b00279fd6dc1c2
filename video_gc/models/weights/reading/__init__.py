"""A file of weights → names and tensors; nothing in the file can run."""
