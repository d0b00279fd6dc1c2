"""A video file → exactly the frames that are asked for."""
