"""What a family is worth: repeated questions, shortcuts, and what a classifier reads off the surface of its text."""
