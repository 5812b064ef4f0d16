"""Tables, one class each: of runs, of samples of lm-eval's tasks, and of the service."""
