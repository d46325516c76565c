"""Load patterns, one file each."""
