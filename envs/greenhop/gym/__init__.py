"""What a reinforcement-learning library meets: Gymnasium environments, single and batched, and their pictures."""

from greenhop.saying import at_work

with at_work("importing torch"):  # before the modules of this room, each of which would do it in silence
    import torch as torch  # which takes a second or two
