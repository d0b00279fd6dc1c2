"""Ablations: the cells of a question, each trained and tested once."""
