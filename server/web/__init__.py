"""What all features share: rendering, forms, errors, limits, logs, metrics and background tasks."""
