"""Show what is stored to people with a browser."""
