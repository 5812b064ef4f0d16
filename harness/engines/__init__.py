"""Turn prompts into completions: one file an engine, each heavy package imported in its own file."""
