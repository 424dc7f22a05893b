"""What a reinforcement-learning library meets: Gymnasium environments, single and batched, and their pictures."""
