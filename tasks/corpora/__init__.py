"""Training text: one file for each corpus."""
