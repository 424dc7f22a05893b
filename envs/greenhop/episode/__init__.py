"""One episode from begin to end: the row of the world, what is observed of it, and what an action means; batching
many is the engines' work."""
