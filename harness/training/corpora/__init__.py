"""Corpora: training text of the families, mixed, tokenized and written in shards."""
