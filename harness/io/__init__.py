"""Stored runs as files, and files as stored runs: tables, results for a server, and lm-eval's logs."""
