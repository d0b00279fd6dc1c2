"""The directory, checkpoints and position of a run, which may be killed at any moment."""
