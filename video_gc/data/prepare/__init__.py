"""The work of tools/prepare.py: check what is there, find leaks between splits, scale copies."""
