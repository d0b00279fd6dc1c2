"""What a network costs, where it looks, and the report on a run."""
