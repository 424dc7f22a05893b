"""The linear programme over a window of steps and its certificate; it needs the physics alone, no observations and no
actions."""
