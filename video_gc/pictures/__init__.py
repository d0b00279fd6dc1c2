"""Figures and letters, for names in any script."""
