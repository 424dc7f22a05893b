"""Trained policies as files that need no Greenhop: ONNX or TorchScript, with a card of what goes in and out.

policy.onnx (or .pt)   observations `[B, O]` → actions `[B, A]`; a policy that remembers takes and gives its memory too
policy.json            card: scenario and its settings, layout and units of observation and action, how far the file's
                       decisions were from the policy's
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from greenhop.episode.simulator import Simulator
from greenhop.errors import ConfigError
from greenhop.files import write_bytes, write_json
from greenhop_agents.learners.weights import digest
from greenhop_agents.policies.policy import Acting, Decision, Exportable, Policy
from greenhop_agents.shelf.export_card import card

SUFFIXES = {"onnx": ".onnx", "torchscript": ".pt"}
NEEDED = ("onnx", "onnxscript", "onnxruntime")  # the extra `export`
TOLERANCE = 1e-5  # between the decisions of a file and its policy's
SEEN = (8, 4)  # steps and episodes that they are compared on
Run = Callable[..., list[Tensor]]  # a file: observation and memory → action and memory


def export(policy: Policy, sim: Simulator, path: Path, form: str) -> dict[str, Any]:
    """Write a policy and its card beside it; nothing is written where the file would decide differently.

    Args:
        policy: of a native or a Stable-Baselines3 agent.
        sim: the simulator it acts on.
        path: the file, ending as `SUFFIXES` says.
        form: `onnx` or `torchscript`.

    Returns:
        The card.

    Raises:
        ConfigError: a policy that is no network, a file that cannot be, or packages that are not installed.
    """
    check(path, form)
    module = module_of(policy).eval()
    observations = seen(policy, sim)
    example = (observations[0], *module.blank(len(observations[0])))
    with plain_distributions(), warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # exporters warn of what torch itself deprecates
        data = WRITERS[form](module, example)
        apart = difference(policy, module, sim, observations, RUNNERS[form](data))
    if not apart <= TOLERANCE:
        raise ConfigError(f"policy = {policy.name!r}: as {form} it decides differently, by up to {apart:.2g}")
    told = {"format": form, "sha256": digest(data), "largest_difference": apart, "compared_on": prod(SEEN)}
    described = {"policy": policy.name, **told, **card(sim, module)}
    write_bytes(path, data)
    write_json(path.with_suffix(".json"), described)
    return described


def check(path: Path, form: str) -> None:
    """Refuse what cannot be written before any work is done."""
    if form not in SUFFIXES:
        raise ConfigError(f"format = {form!r} is unknown; allowed: {', '.join(SUFFIXES)}")
    if path.suffix != SUFFIXES[form]:
        raise ConfigError(f"output = {str(path)!r}: format={form} must end in {SUFFIXES[form]}")
    if not path.resolve().parent.is_dir():
        raise ConfigError(f"output = {str(path)!r}: the folder {path.resolve().parent} does not exist")
    missing = [name for name in NEEDED if find_spec(name) is None] if form == "onnx" else []
    if missing:
        raise ConfigError(f"format = 'onnx' needs {', '.join(missing)}: pip install 'greenhop[export]'")


def module_of(policy: Policy) -> Decision:
    """What is exported of a policy.

    Raises:
        ConfigError: a policy that plans or follows a rule.
    """
    module = policy.as_module() if isinstance(policy, Exportable) else None
    if module is None:
        raise ConfigError(f"policy = {policy.name!r} cannot be exported: it plans or follows a rule, it is no network")
    return module


def seen(policy: Policy, sim: Simulator) -> list[Tensor]:
    """Observations `[episodes, O]` of the first steps of some episodes under the policy."""
    steps, episodes = SEEN
    carry = sim.begin(torch.as_tensor(sim.bank.spread(episodes), device=sim.params.device))
    policy.reset(sim)
    out = []
    with torch.no_grad():
        for _ in range(min(steps, sim.params.steps)):
            out.append(sim.observe(carry).cpu())
            carry, _ = sim.advance(carry, policy.decide(sim, carry))
    return out


def difference(policy: Policy, module: Decision, sim: Simulator, observations: list[Tensor], run: Run) -> float:
    """Largest difference between the actions of a policy and those of its file, which is handed its own memory."""
    assert isinstance(policy, Acting)
    policy.reset(sim)
    memory, most = module.blank(len(observations[0])), 0.0
    for obs in observations:
        action, *after = run(obs, *memory)
        memory = tuple(after)
        most = max(most, float((action - policy.act(obs.to(sim.params.device)).cpu()).abs().max()))
    return most


def _onnx(module: Decision, example: tuple[Tensor, ...]) -> bytes:
    batch = torch.export.Dim("batch", min=1)
    axes = tuple({x.dim() - 2: batch} for x in example)
    program = torch.onnx.export(
        module, example, dynamo=True, dynamic_shapes=axes, input_names=list(module.inputs),
        output_names=list(module.outputs), external_data=False, verbose=False,
    )  # fmt: skip
    assert program is not None
    return bytes(program.model_proto.SerializeToString())


def _torchscript(module: Decision, example: tuple[Tensor, ...]) -> bytes:
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.trace(module, example, check_trace=False), buffer)  # type: ignore[no-untyped-call]
    return buffer.getvalue()


def _run_onnx(data: bytes) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]

    def run(*given: Tensor) -> list[Tensor]:
        found = session.run(None, {name: x.numpy() for name, x in zip(names, given, strict=True)})
        return [torch.from_numpy(x) for x in found]

    return run


def _run_torchscript(data: bytes) -> Run:
    module = torch.jit.load(io.BytesIO(data))  # type: ignore[no-untyped-call]

    def run(*given: Tensor) -> list[Tensor]:
        found = module(*given)
        return list(found) if isinstance(found, tuple) else [found]

    return run


WRITERS = {"onnx": _onnx, "torchscript": _torchscript}
RUNNERS = {"onnx": _run_onnx, "torchscript": _run_torchscript}


@contextmanager
def plain_distributions() -> Iterator[None]:
    """Distributions that do not look at their arguments' values, which an exporter cannot follow."""
    before = torch.distributions.Distribution._validate_args
    torch.distributions.Distribution.set_default_validate_args(False)
    try:
        yield
    finally:
        torch.distributions.Distribution.set_default_validate_args(before)
