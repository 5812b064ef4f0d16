"""Run models on tasks, and record every sample."""
