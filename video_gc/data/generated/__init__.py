"""The generated data set: its motions, and how they are drawn."""
