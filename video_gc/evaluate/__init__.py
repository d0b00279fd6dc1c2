"""From a checkpoint to test results: every view of every video, on any number of processes."""
