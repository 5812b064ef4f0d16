"""Graphs that families and corpora share: rings of names, and dependencies between tasks."""
