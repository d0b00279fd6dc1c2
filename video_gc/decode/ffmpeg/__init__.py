"""FFmpeg through PyAV: opening a file, its packets, its decoder, its filter graphs."""
