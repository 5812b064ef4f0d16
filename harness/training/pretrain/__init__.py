"""Training of small models from recipes: model, rows, exams, checkpoints, loss curve and model card."""
