"""Laws of training over seeds: small models on closed vocabularies, trained in seconds of one core."""
