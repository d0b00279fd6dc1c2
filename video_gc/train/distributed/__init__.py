"""Several processes, on one machine or many: their numbers, and what they exchange."""
