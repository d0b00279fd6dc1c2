"""The recipe of a training: optimiser, schedule, norms, averaged weights."""
