"""Straight-line arithmetic as CUDA kernels, made by the compiler that comes with torch: one thread, one environment.

Each part is a kernel; what a later part needs waits in device memory, batch last, so that neighbouring threads write
neighbouring numbers. Parts compile side by side and stay in the disk cache, by their text and the device they are for.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from importlib.resources import files
from typing import Any

import torch
from torch import Tensor

from greenhop.cache import Entry, key_of
from greenhop.compiler.cpp_text import Bind, Code, function
from greenhop.errors import ConfigError

log = logging.getLogger(__name__)

WHOLE, PART_SIZE = 30_000, 4_000  # numbers in a program of one kernel, and in a kernel of a larger one
THREADS = 64  # in a block
OPTIONS = ("--fmad=false",)  # products are rounded before they are added, as torch rounds them
_START = f"""
typedef long long int64_t;
typedef int int32_t;
#define INFINITY __int_as_float(0x7f800000)
#define INLINE static __device__ __forceinline__
#define LANES 1
#define MOST_THREADS {THREADS}
"""


def cuda_code(code: Code, device: torch.device) -> Bind:
    """`code` for any number of environments on a GPU, in float32.

    Raises:
        ConfigError: this torch cannot compile kernels.
    """
    try:
        from torch.cuda._utils import _cuda_load_module, _nvrtc_compile
    except ImportError:
        raise ConfigError(f"compile=True on a GPU needs torch 2.9 or newer, not {torch.__version__}") from None
    texts = _texts(code)
    capability = "".join(map(str, torch.cuda.get_device_capability(device)))

    def make(number: int) -> bytes:
        log.info("compiling kernel %d of %d; this is kept for next time", number + 1, len(texts))
        binary, _ = _nvrtc_compile(texts[number], f"part{number}", capability, nvcc_options=list(OPTIONS))
        return binary

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        binaries = list(pool.map(lambda k: _stored(texts[k], capability, lambda: make(k)), range(len(texts))))
    loaded: list[Any] = [_cuda_load_module(binary, [f"part{k}"]) for k, binary in enumerate(binaries)]
    kernels = [module[f"part{k}"] for k, module in enumerate(loaded)]

    return partial(_Call, kernels, max(1, code.waiting), device)


class _Call:
    """The launches of a call with its arrays."""

    def __init__(
        self,
        kernels: list[Any],
        slots: int,
        device: torch.device,
        num_envs: int,
        arrays: Sequence[Tensor],
        threads: int,
    ) -> None:
        self._kernels, self._num_envs, self._arrays = kernels, num_envs, list(arrays)
        self._slots, self._device = slots * num_envs, device

    def __call__(self) -> None:
        given = [self._num_envs, *self._arrays, torch.empty(self._slots, device=self._device)]
        grid, block = (-(-self._num_envs // THREADS), 1, 1), (THREADS, 1, 1)
        for kernel in self._kernels:
            kernel(grid, block, given)

    def replace(self, at: int, x: Tensor) -> None:
        """Array number `at` is `x` from now on."""
        self._arrays[at] = x


def part_size(count: int) -> int:
    """Numbers in a kernel of a program of `count`: one kernel is fastest, while its compiler can still manage it."""
    return count if count <= WHOLE else PART_SIZE


def _texts(code: Code) -> list[str]:
    """The source of each part."""
    pointers = [f"p{i}" for i in range(len(code.arrays))]
    head = (
        'extern "C" __global__ void __launch_bounds__(MOST_THREADS) part%d(int n, '
        + ", ".join(f"void* {p}" for p in pointers)
        + ", REAL* scratch)"
    )
    start = _START + (files("greenhop.compiler") / "lanes.h").read_text(encoding="utf-8") + _SCRATCH
    return [start + _threaded(function(code, part, head % k, pointers)) for k, part in enumerate(code.parts)]


_SCRATCH = """
struct Slot {
  REAL* at;
  __device__ __forceinline__ operator REAL() const { return *at; }
  __device__ __forceinline__ void operator=(REAL x) { *at = x; }
};
struct Scratch {
  REAL* base;
  size_t n, e;
  __device__ __forceinline__ Slot operator[](int k) const { return {base + k * n + e}; }
};
"""


def _threaded(text: str) -> str:
    """The function of one environment for the environment that is this thread's."""
    first, rest = text.split("\n", 1)
    return (
        f"{first}\nconst int e = blockIdx.x * blockDim.x + threadIdx.x;\nif (e >= n) return;\n"
        f"const Scratch s = {{scratch, (size_t)n, (size_t)e}};\n{rest}"
    )


def _stored(text: str, capability: str, make: Callable[[], bytes]) -> bytes:
    """The machine code of one part, from the disk cache where it was made before."""
    entry = Entry("cuda_code", key_of(text, capability, OPTIONS, str(torch.version.cuda)), ".cubin")
    if found := entry.find():
        return found.data
    made = make()
    with suppress(OSError):
        entry.keep(made)
    return made
