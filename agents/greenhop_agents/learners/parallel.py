"""Data-parallel training under torchrun: processes share one fleet and agree on every gradient and statistic.

Nothing here does anything when a process is alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from greenhop.errors import ConfigError


@dataclass(frozen=True)
class Team:
    """This process among its peers."""

    rank: int = 0
    size: int = 1

    def share(self, total: int) -> slice:
        """The part of `total` environments that belongs to this process."""
        if total % self.size:
            raise ConfigError(f"agent.num_envs = {total} must be a multiple of the {self.size} processes")
        each = total // self.size
        return slice(self.rank * each, (self.rank + 1) * each)

    def mean(self, x: Tensor) -> Tensor:
        """The mean over processes of a tensor that each holds."""
        if self.size > 1:
            x = x.clone()
            dist.all_reduce(x)
            x = x / self.size
        return x

    def copy_first(self, parameters: Iterable[nn.Parameter]) -> None:
        """Give every process the parameters of the first one."""
        for p in parameters if self.size > 1 else ():
            dist.broadcast(p.data, 0)

    def mean_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its mean over processes, in one message."""
        grads = [p.grad for p in parameters if p.grad is not None]
        if self.size == 1 or not grads:
            return
        mean, at = self.mean(torch.cat([g.flatten() for g in grads])), 0
        for grad in grads:
            grad.copy_(mean[at : at + grad.numel()].view_as(grad))
            at += grad.numel()


def join_team() -> Team:
    """The team that torchrun started, or a team of one."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return Team()
    if not dist.is_initialized():
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    return Team(dist.get_rank(), size)
