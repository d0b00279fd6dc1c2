"""Millions of videos: scores, features or segments of a list, part by part."""
