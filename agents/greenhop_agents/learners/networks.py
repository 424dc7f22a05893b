"""Networks of the native learners: an encoder of regions with messages on links, one net a hub, an MLP, a constant.

Both map observations `[B, O]` to the mean of a Gaussian over *bids* `[B, A]`; the action is `tanh(bid)`, so it never
leaves −1…1 and the gradient of the simulator never dies at a clip. The last layer starts near zero, hence so does every
action: learning begins at price following.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from greenhop.episode.simulator import Simulator
from greenhop.scenario.config import Count
from greenhop.scenario.limits import Limited
from greenhop_agents.learners.hub_actor import HubActor, view_shape
from greenhop_agents.learners.hub_graph import Graph, build_graph, build_kinds

HEAD_GAIN = 0.01  # weight of the last layer of an actor at the start
LOG_2PI = math.log(2.0 * math.pi)


class NetworkConfig(Limited):
    """Shape of the networks of one agent."""

    kind: Literal["region", "hub", "mlp", "constant"] = "region"
    """A graph network that any number of hubs shares; one MLP for all hubs, of which each decides from its own view
    alone (its critic sees everything); a plain MLP over the whole observation (linear without layers); or a constant
    action."""
    width: Count = 64
    """Numbers of a hidden layer."""
    layers: Annotated[int, Field(ge=0)] = 2
    """Rounds of messages, or hidden layers."""
    message_width: Count | None = None
    """Numbers of a message along a link; null: as many as of a hidden layer."""
    log_std: Annotated[float, Field(ge=-20.0)] = -2.0
    """Logarithm of a bid's standard deviation at the start."""


@contextmanager
def matrix_products(tf32: bool) -> Iterator[None]:
    """Let float32 matrix products be rounded to TensorFloat-32 inside, as before outside."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if tf32 else before)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def cosine(first: float, last: float, done: float) -> float:
    """A value that falls from `first` to `last` along half a cosine while `done` goes from 0 to 1."""
    return last + (first - last) * 0.5 * (1.0 + math.cos(math.pi * min(1.0, done)))


def dense(inputs: int, outputs: int, gain: float = math.sqrt(2.0), bias: bool = True) -> nn.Linear:
    """A linear layer with orthogonal weights and zero bias."""
    layer = nn.Linear(inputs, outputs, bias)
    nn.init.orthogonal_(layer.weight, gain)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


class Messages(nn.Module):
    """One round of messages along the links, and a residual update of every region.

    `m_l = silu(A·h_src(l) + B·h_dst(l) + C·e_l)`;
    `h_r ← h_r + D·silu(norm(U·[h_r, Σ_{l into r} m_l, Σ_{l out of r} m_l, mean_r' h_r']))`.
    """

    def __init__(self, width: int, message: int, link_features: int) -> None:
        super().__init__()
        self.source = dense(width, message, 1.0, bias=False)
        self.target = dense(width, message, 1.0, bias=False)
        self.link = dense(link_features, message, 1.0)
        self.update = dense(2 * width + 2 * message, width, 1.0)
        self.norm = nn.LayerNorm(width)
        self.out = dense(width, width, 0.5, bias=False)
        self.parts = [width, message, message, width]

    def forward(self, h: Tensor, available: Tensor, graph: Graph) -> Tensor:
        """`h` `[R, B, H]`, `available` `[L, B]` → `[R, B, H]`.

        U is applied part by part, to the mean once for all regions; what never changes about a link is one row a batch.
        """
        links = _told(self.link.weight, self.link.bias, available, graph.static_link)
        ends = torch.cat((self.source(h), self.target(h)))
        leaving, entering = graph.ends.hear(nn.functional.silu(graph.ends.tell(links, ends)))
        own, into, out, mean = torch.split(self.update.weight, self.parts, 1)
        flat = h.flatten(0, 1)
        mixed = torch.addmm(flat @ own.T, entering.flatten(0, 1), into.T)
        mixed = torch.addmm(mixed, leaving.flatten(0, 1), out.T).view(h.shape)
        mixed = self.norm(mixed + nn.functional.linear(h.sum(0) / len(h), mean, self.update.bias))
        return torch.addmm(flat, nn.functional.silu(mixed).flatten(0, 1), self.out.weight.T).view(h.shape)


class RegionEncoder(nn.Module):
    """Embeds every region from its own features, its storage, the calendar and what its links tell it.

    The same weights serve every region, link and unit: permuting regions permutes the output, and they run in any
    scenario.
    """

    def __init__(self, graph: Graph, config: NetworkConfig) -> None:
        super().__init__()
        width, message = config.width, config.message_width or config.width
        self.embed = dense(graph.region_features, width)
        self.norm = nn.LayerNorm(width)
        self.rounds = nn.ModuleList(Messages(width, message, graph.link_features) for _ in range(config.layers))

    def forward(self, obs: Tensor, graph: Graph) -> tuple[Tensor, dict[str, Tensor]]:
        """`[B, O]` → regions `[R, B, H]`, and what is observed of links `[L, B]` and units `[U, B]`."""
        regions, others = graph.observed(obs)
        observed, static = graph.weights_of(self.embed.weight)
        fixed = nn.functional.linear(graph.static_region, static, self.embed.bias).unsqueeze(1)
        h = nn.functional.silu(self.norm(nn.functional.linear(regions, observed) + fixed))
        for messages in self.rounds:
            h = messages(h, others["link"], graph)
        return h, others


class RegionActor(nn.Module):
    """Bids `[B, A]` from region embeddings: a head for regions, one for storage units and one for links."""

    def __init__(self, graph: Graph, config: NetworkConfig) -> None:
        super().__init__()
        self.graph = graph
        self.encoder = RegionEncoder(graph, config)
        width = config.width
        seen = {"region": width, "unit": width + graph.unit_features, "link": 2 * width + graph.link_features}
        self.heads = nn.ModuleDict({axis: _head(seen[axis], width, n) for axis, n in graph.width.items()})

    def forward(self, obs: Tensor) -> Tensor:
        """`[B, O]` → `[B, A]`."""
        h, others = self.encoder(obs, self.graph)
        return self.graph.flat({axis: self._bids(axis, h, others) for axis in self.heads})

    def _bids(self, axis: str, h: Tensor, others: dict[str, Tensor]) -> Tensor:
        """`[axis, B, n]`: the outputs of a head that are bids in this scenario."""
        head: Any = self.heads[axis]
        first, activation, last = head
        at, chosen = self.graph.at(axis, h), self.graph.bids(axis)
        regions, rest = torch.split(first.weight, [at.shape[-1], first.in_features - at.shape[-1]], 1)
        hidden = nn.functional.linear(at, regions, first.bias if axis == "region" else None)
        if axis != "region":
            hidden = hidden + _told(rest, first.bias, others[axis], self.graph.static(axis))
        return nn.functional.linear(activation(hidden), last.weight[chosen], last.bias[chosen])


class RegionCritic(nn.Module):
    """Value `[B]`: the mean over regions of a value of each embedding."""

    def __init__(self, graph: Graph, config: NetworkConfig) -> None:
        super().__init__()
        self.graph = graph
        self.encoder = RegionEncoder(graph, config)
        self.head = _head(config.width, config.width, 1)

    def forward(self, obs: Tensor) -> Tensor:
        """`[B, O]` → `[B]`."""
        h, _ = self.encoder(obs, self.graph)
        first, activation, last = self.head
        return last(activation(first(h)).mean(0)).squeeze(-1)  # type: ignore[no-any-return]


def _told(weight: Tensor, bias: Tensor, now: Tensor, static: Tensor) -> Tensor:
    """`[N, B, H]`: a layer applied to links or units, of which one number `now` `[N, B]` changes, first."""
    first, rest = torch.split(weight, [1, static.shape[1]], 1)
    fixed = nn.functional.linear(static, rest, bias).unsqueeze(1)
    return torch.baddbmm(fixed, now.unsqueeze(-1), first.T.expand(len(static), 1, -1))


def _head(inputs: int, width: int, outputs: int, gain: float = HEAD_GAIN) -> nn.Sequential:
    return nn.Sequential(dense(inputs, width), nn.SiLU(), dense(width, outputs, gain))


def mlp(inputs: int, width: int, layers: int, outputs: int, gain: float) -> nn.Sequential:
    """A flat network with `layers` normalised hidden layers."""
    sizes = [inputs] + [width] * layers
    hidden = [m for a, b in pairwise(sizes) for m in (dense(a, b), nn.LayerNorm(b), nn.SiLU())]
    return nn.Sequential(*hidden, dense(sizes[-1], outputs, gain))


class Constant(nn.Module):
    """The same bids whatever is observed."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.bid = nn.Parameter(torch.zeros(size))

    def forward(self, obs: Tensor) -> Tensor:
        """`[B, O]` → `[B, A]`."""
        return self.bid.expand(obs.shape[0], -1)


class FlatCritic(nn.Module):
    """Value `[B]` by an MLP."""

    def __init__(self, obs_size: int, width: int, layers: int) -> None:
        super().__init__()
        self.net = mlp(obs_size, width, layers, 1, HEAD_GAIN)

    def forward(self, obs: Tensor) -> Tensor:
        """`[B, O]` → `[B]`."""
        return self.net(obs).squeeze(-1)  # type: ignore[no-any-return]


class Actor(nn.Module):
    """A Gaussian over bids `[B, A]` with a state-independent log standard deviation for every kind of bid."""

    def __init__(self, mean: nn.Module, kind_of: Tensor, kinds: int, log_std: float) -> None:
        super().__init__()
        self.mean = mean
        self.register_buffer("kind_of", kind_of, persistent=False)  # [A] which entry of log_std an action uses
        self.kind_of: Tensor
        self.log_std = nn.Parameter(torch.full((kinds,), log_std))

    def forward(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """`[B, O]` → mean `[B, A]` and log standard deviation `[A]` of the bid."""
        return self.mean(obs), self.log_std.index_select(0, self.kind_of)

    def act(self, obs: Tensor) -> Tensor:
        """The deterministic action `[B, A]` in −1…1."""
        return torch.tanh(self.mean(obs))


def log_prob(bid: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    """`[B]`: `Σ_a −½·((bid − μ)/σ)² − log σ − ½·log 2π`, of the bid before `tanh`."""
    z = (bid - mean) * torch.exp(-log_std)
    return (-0.5 * z.square() - log_std - 0.5 * LOG_2PI).sum(-1)


def entropy(log_std: Tensor) -> Tensor:
    """Scalar: `Σ_a log σ + ½·(1 + log 2π)`."""
    return (log_std + 0.5 * (1.0 + LOG_2PI)).sum()


def build_actor(sim: Simulator, config: NetworkConfig) -> Actor:
    """An actor for the shapes of a scenario, on its device."""
    if config.kind == "mlp":
        body: nn.Module = mlp(sim.obs_size, config.width, config.layers, sim.action_size, HEAD_GAIN)
    elif config.kind == "hub":
        seen, decided = view_shape(sim)
        body = HubActor(sim, mlp(seen, config.width, config.layers, decided, HEAD_GAIN))
    elif config.kind == "constant":
        body = Constant(sim.action_size)
    else:
        body = RegionActor(build_graph(sim), config)
    return Actor(body, *build_kinds(sim), config.log_std).to(sim.params.device)


def build_critic(sim: Simulator, config: NetworkConfig) -> nn.Module:
    """A critic for the shapes of a scenario, on its device."""
    if config.kind != "region":
        return FlatCritic(sim.obs_size, config.width, config.layers).to(sim.params.device)
    return RegionCritic(build_graph(sim), config).to(sim.params.device)
