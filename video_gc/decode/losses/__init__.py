"""Where a file has lost bytes, read from the container's own structure."""
