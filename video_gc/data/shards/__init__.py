"""Videos in tar files, read by their places in them; on a disk or in object storage."""
