"""Turn recipes that differ in one thing into a verdict on a law of training; one law a module, as `LAW`."""
