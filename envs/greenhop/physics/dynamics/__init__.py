"""One idea per file, pure functions of tensors; `step.py` composes them. Siblings never import each other."""
