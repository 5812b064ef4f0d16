"""Runs: a plan and its settings, the requests, lm-eval, the request queue, grading, and the manifest."""
