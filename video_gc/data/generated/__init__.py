"""The generated data set: what is drawn, and how."""
