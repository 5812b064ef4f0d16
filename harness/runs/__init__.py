"""Runs: a plan and its settings, the requests, lm-eval, the request queue, and the manifest."""
