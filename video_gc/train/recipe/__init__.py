"""What a training does beside the plain step: optimiser, schedule, norms, averaged weights."""
