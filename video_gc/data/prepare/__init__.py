"""The work of tools/prepare.py: check videos, find leaks between splits, make small copies."""
