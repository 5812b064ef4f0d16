"""Export of runs as the files of `lm_eval --log_samples`, and import of such files."""
