"""Lost bytes of a file, found in the container's structure."""
