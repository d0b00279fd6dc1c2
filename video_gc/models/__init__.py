"""Backbones with context blocks, and their weights."""
