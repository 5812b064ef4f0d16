"""Grammars: drawn, parsed, put into words, and the shortcuts that a guesser could take."""
