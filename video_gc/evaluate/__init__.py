"""Testing a checkpoint: every view of every video, on any number of processes."""
