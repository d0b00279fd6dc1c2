"""A network's cost and attention, comparisons of runs, and reports."""
