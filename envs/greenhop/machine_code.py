"""A traced graph as a library of machine code (AOTInductor): no Python between its kernels and no guards before them.

Intermediate results live on the stack where they fit: asking the heap for a hundred and fifty tensors takes longer than
a step of one environment, and a fifth of the step of a hundred. Libraries are kept in the disk cache, by the graph with
its constants and by the machine they were made for.
"""

from __future__ import annotations

import os
import platform
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule

from greenhop.cache import cache_dir, drop_oldest, key_of
from greenhop.errors import ConfigError

Call = Callable[..., Any]  # with the graph's inputs

STACK_BYTES = 7 * 2**18  # of intermediate results at most: a thread has 2 MiB where the system sets it no limit
_LIMIT = "MAX_STACK_ALLOCATION_SIZE"
ON_STACK = {"aot_inductor.allow_stack_allocation": os.name == "posix"}  # elsewhere stacks are smaller


def machine_code(graph: GraphModule, inputs: Sequence[Tensor], options: Mapping[str, Any]) -> Call:
    """`graph` for inputs of these shapes, on the CPU and without gradient.

    What a graph returns may lie in memory that the next call uses again: a graph should write into inputs instead.

    Args:
        graph: operations and constants, as `make_fx` leaves them.
        inputs: examples.
        options: of `torch._inductor.config`.

    Raises:
        ConfigError: nothing fits in the cache and there is no C++ compiler.
    """
    options = {**options, **ON_STACK}
    path = cache_dir("machine_code") / f"{_key(graph, inputs, options)}.pt2"
    with suppress(RuntimeError, OSError):  # a file that cannot be read only costs the time to compile again
        if path.is_file():
            found = _load(path)
            path.touch()
            return found
    _check_compiler()
    with TemporaryDirectory() as folder:
        made = _package(graph, inputs, options, Path(folder) / "step.pt2")
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            draft = path.with_name(f".{path.stem}.{os.getpid()}")
            draft.write_bytes(made.read_bytes())
            draft.replace(path)
            drop_oldest(path)
        return _load(made)


def _package(graph: GraphModule, inputs: Sequence[Tensor], options: Mapping[str, Any], path: Path) -> Path:
    with torch.no_grad(), warnings.catch_warnings(), _stack_of(STACK_BYTES):
        warnings.simplefilter("ignore", FutureWarning)  # torch's own, about its tree specifications
        exported = torch.export.export(graph, tuple(inputs), strict=False)
        done = torch._inductor.aoti_compile_and_package(
            exported, package_path=str(path), inductor_configs=dict(options)
        )
    return Path(done)


@contextmanager
def _stack_of(most: int) -> Iterator[None]:
    """Let libraries made meanwhile keep that many bytes of float32 on the stack; torch's own limit is no option."""
    from torch._inductor.codegen import cpp_wrapper_cpu_array_ref as wrapper

    usual = getattr(wrapper, _LIMIT, None)
    if usual is None:  # another torch: slower, and right
        yield
        return
    setattr(wrapper, _LIMIT, most // torch.float32.itemsize)  # it counts numbers
    try:
        yield
    finally:
        setattr(wrapper, _LIMIT, usual)


def _load(path: Path) -> Call:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        loader = torch._inductor.aoti_load_package(str(path)).loader

    def run(*inputs: Tensor) -> list[Tensor]:
        return loader.boxed_run(list(inputs))

    return run


def _key(graph: GraphModule, inputs: Sequence[Tensor], options: Mapping[str, Any]) -> str:
    constants = [getattr(graph, str(n.target)).detach().cpu().numpy() for n in graph.graph.nodes if n.op == "get_attr"]
    shapes = [[list(x.shape), list(x.stride()), str(x.dtype)] for x in inputs]
    return key_of(graph.code, *constants, shapes, dict(options), [torch.__version__, STACK_BYTES, *_processor()])


@cache
def _processor() -> tuple[str, ...]:
    """What the machine code may use: a library made for one processor can stop another."""
    known = (platform.machine(), torch.backends.cpu.get_cpu_capability())
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        return *known, *sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))})
    return *known, platform.processor(), platform.node()


def _check_compiler() -> None:
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler as error:
        raise ConfigError(
            "compile=True needs a C++ compiler and found none; install g++ or clang++, or name one in CXX, or leave "
            "compile=False"
        ) from error
