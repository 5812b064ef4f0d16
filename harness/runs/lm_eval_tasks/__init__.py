"""Evaluation of lm-eval's own tasks, such as gsm8k: loading them, reading their requests, scoring."""
