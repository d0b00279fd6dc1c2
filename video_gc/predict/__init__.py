"""A checkpoint and a video → a prediction."""
