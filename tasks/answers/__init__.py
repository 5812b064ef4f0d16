"""Reading the answer that a model's text commits to, by one grammar for all families."""
