"""One small network for every hub: each decides from its own view alone, with weights that all share."""

from __future__ import annotations

from torch import Tensor, nn

from greenhop.episode.simulator import Simulator
from greenhop.gym.hub_views import hub_views


class HubActor(nn.Module):
    """Bids `[B, A]` from views of hubs: what a hub bids depends on nothing but what it sees.

    Args:
        sim: the simulator.
        net: from views `[B, R, V]` to bids `[B, R, M]` of each hub, see `view_shape`.
    """

    def __init__(self, sim: Simulator, net: nn.Module) -> None:
        super().__init__()
        self.views, self.net = hub_views(sim), net

    def forward(self, obs: Tensor) -> Tensor:
        """`[B, O]` → `[B, A]`."""
        return self.views.action(self.net(self.views.observe(obs)))


def view_shape(sim: Simulator) -> tuple[int, int]:
    """V and M: numbers that a hub sees and decides."""
    views = hub_views(sim)
    return views.size, views.bids
