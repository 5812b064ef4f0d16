"""Read hidden variables in a model's states, with controls: `fathom probe`."""
