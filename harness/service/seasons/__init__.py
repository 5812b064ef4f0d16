"""Seasons: a secret seed, committed to before a season and revealed after it."""
