"""A small HTTP interface and a web page over `predict`."""
