"""Training text, small models trained on it, and laws of training that they test."""
