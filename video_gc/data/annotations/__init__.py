"""Annotation files and folders of videos → VideoIndex: one file for each family of formats."""
