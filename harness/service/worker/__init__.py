"""Turn a server's jobs into completions: a parent that talks to it, a fetcher, and a runner that computes."""
