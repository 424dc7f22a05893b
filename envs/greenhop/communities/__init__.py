"""The environments as other communities expect them: many agents, reward vectors, budgets, TorchRL. Built on the shells
of Gymnasium; each package is imported only where it is needed."""
