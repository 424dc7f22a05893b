"""A whole training run, from a configuration to a folder with curves, weights and a final score."""
