"""Training text: one file a corpus."""
