"""Pages that are made from the code, so that they cannot contradict it."""
