"""A trained network, ready for inference."""
