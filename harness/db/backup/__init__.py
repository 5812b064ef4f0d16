"""Backups: a database as one portable file, and back."""
