"""Run models on tasks and record the results."""
