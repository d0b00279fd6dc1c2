"""Many trainings of one question: its cells, and running each of them once."""
