"""Several processes, on one machine or many: who I am, and what we tell each other."""
