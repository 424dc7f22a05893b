"""What happens in one step, as pure functions of tensors: work, power, stores and the bill; no files, no weather, no
decisions."""
