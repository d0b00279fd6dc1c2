"""Many runs in one table: figures with their errors, costs, and a page."""
