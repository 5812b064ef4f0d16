"""Invented people: their attributes, biographies, questions about them, and wrong answers."""
