"""Two tested runs over the same videos: which one is better, or whether that is noise."""
