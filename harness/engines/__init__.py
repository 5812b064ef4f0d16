"""Engines: they run a model on prompts. One module or package each; heavy packages are imported only there."""
