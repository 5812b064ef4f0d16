"""The worker: claims jobs from a server, fetches models, runs them in an isolated process, sends completions."""
