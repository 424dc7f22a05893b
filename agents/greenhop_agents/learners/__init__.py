"""Algorithms that learn: each owns its settings, its network, its update, and how it is saved and loaded."""
