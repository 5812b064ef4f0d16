"""Task families: one file for each."""
