"""Compare two tested runs over the same videos: which is better, or is the difference noise?"""
