"""Families inside other tools: tasks of inspect_ai, environments and tasksets of verifiers."""
