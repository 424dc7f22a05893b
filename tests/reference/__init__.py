"""Slow and plain second implementations that settle arguments about the fast ones."""
