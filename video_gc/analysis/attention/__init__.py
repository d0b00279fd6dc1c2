"""Where context blocks look, and whether that depends on the query."""
