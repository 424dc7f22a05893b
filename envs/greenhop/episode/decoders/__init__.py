"""What an action means: each decoder turns a policy's numbers into a feasible plan; none of them draws or learns."""
