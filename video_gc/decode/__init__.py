"""A video file → exactly the requested frames."""
