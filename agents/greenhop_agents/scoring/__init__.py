"""What a policy is worth: episodes run, bounds certified, scores with their intervals; no training, no drawing."""
