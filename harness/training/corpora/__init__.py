"""Training text on disk: mixes of corpora into shards of tokens, tables, and back."""
