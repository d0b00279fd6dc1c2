"""Predictions of an ablation beside what was measured: outcomes, the matrix, the plot."""
