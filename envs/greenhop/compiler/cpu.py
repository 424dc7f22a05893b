"""Straight-line arithmetic as a library of machine code for this computer's processor, made by its C++ compiler.

Each vector register holds one number of several environments. A few blocks of them run through the program at a time,
function by function, and keep what they compute in registers, on the stack and in a scratch array that stays in the
processor's cache. Libraries stay in the disk cache, by their text and the processor they were made for.
"""

from __future__ import annotations

import ctypes
import logging
import os
import platform
import subprocess
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import cache, partial
from importlib.resources import files
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory
from typing import Any

import torch
from filelock import FileLock
from torch import Tensor

from greenhop.cache import cache_dir, keep, key_of, stored
from greenhop.compiler.cpp_text import Bind, Code, function
from greenhop.errors import ConfigError

log = logging.getLogger(__name__)

PART_SIZE = 2_000  # numbers in a function: twice as many take four times as long to compile
LONG = 10  # functions that take long enough to say so
BLOCKS = 2  # of lanes that a function works on before the next does: its instructions are read once for all
FLAGS = (
    "-O1",  # -O2 compiles twice as long for the same speed
    "-march=native" if platform.machine() in ("x86_64", "AMD64") else "-mcpu=native",
    "-fno-signed-zeros", "-ffinite-math-only", "-fno-trapping-math", "-ffp-contract=off", "-std=c++17", "-w", "-fPIC",
)  # fmt: skip
COMPILERS = ("g++", "clang++", "c++")
_HEAD = "void part{number}(int64_t n, int64_t e, void* const* p, F* s)"
_DRIVER = """
extern "C" void run(int64_t n, void* const* p) {{
  F* s = (F*)aligned_alloc(64, (sizeof(F) * {slots} * BLOCKS + 63) / 64 * 64);
  for (int64_t first = 0; first < n; first += BLOCKS * LANES) {{
    int64_t end = first + BLOCKS * LANES < n ? first + BLOCKS * LANES : n;
{calls}
  }}
  free(s);
}}
"""
_PASS = """
    for (int64_t e = first, b = 0; e < end; e += LANES, b++)  // the last block may overlap the one before
      part{number}(n, e < n - LANES ? e : n - LANES, p, s + b * {slots});"""


def lanes_for(num_envs: int, dtype: torch.dtype) -> int:
    """How many environments share a vector register; one, where there are too few to fill it."""
    bits = {"AVX512": 512, "AVX2": 256}.get(torch.backends.cpu.get_cpu_capability(), 128)
    lanes = bits // (8 * dtype.itemsize)
    return lanes if num_envs >= lanes else 1


def machine_code(code: Code, lanes: int, dtype: torch.dtype) -> Bind:
    """`code` for any number of environments from `lanes` on.

    Raises:
        ConfigError: nothing fits in the cache and there is no C++ compiler.
    """
    texts = _texts(code, lanes, dtype)
    path = cache_dir("machine_code") / f"{key_of(*texts, FLAGS, *_processor())}.so"
    if found := stored(path, _load):
        return found
    with _alone(path.parent):  # environments in other processes want the same code at the same time
        return stored(path, _load) or _made(texts, path)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time, where the folder can be written."""
    with ExitStack() as held:
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            held.enter_context(FileLock(folder / ".lock"))
        yield


def _made(texts: Sequence[str], path: Path) -> Bind:
    """A new library, kept at `path` if it can be."""
    compiler = _compiler()
    if compiler is None:
        sought = os.environ.get("CXX") or ", ".join(COMPILERS)
        raise ConfigError(
            f"compile=True needs a C++ compiler and found none ({sought}); install g++ or clang++, or name one in CXX, "
            "or leave compile=False"
        )
    if len(texts) >= LONG:
        log.info("compiling %d functions of machine code; this is kept for next time", len(texts))
    with TemporaryDirectory() as folder:
        made = _library(texts, compiler, Path(folder))
        with suppress(OSError):
            keep(path, made.read_bytes())
            return _load(path)
        return _load(made)


def _texts(code: Code, lanes: int, dtype: torch.dtype) -> list[str]:
    """One translation unit for each part, the last with the loop over environments."""
    double = "#define DOUBLE\n" if dtype == torch.float64 else ""
    start = (
        "#include <math.h>\n#include <stddef.h>\n#include <stdint.h>\n#include <stdlib.h>\n"
        f"#define INLINE static inline __attribute__((always_inline))\n#define LANES {lanes}\n"
        f"#define BLOCKS {BLOCKS}\n{double}"
    ) + (files("greenhop.compiler") / "lanes.h").read_text(encoding="utf-8")
    pointers = [f"p[{i}]" for i in range(len(code.arrays))]
    parts = [code.opening, *code.parts, code.closing] if lanes > 1 else code.parts
    heads = [_HEAD.format(number=k) for k in range(len(parts))]
    slots = code.slots + 1
    calls = "".join(_PASS.format(number=k, slots=slots) for k in range(len(parts)))
    driver = "".join(f"{head};\n" for head in heads) + _DRIVER.format(slots=slots, calls=calls)
    texts = [start + function(code, part, head, pointers) for part, head in zip(parts, heads, strict=True)]
    return [*texts[:-1], texts[-1] + driver]


def _library(texts: Sequence[str], compiler: str, folder: Path) -> Path:
    """Compile the units side by side and link them."""
    names = [folder / f"part{k}" for k in range(len(texts))]
    for name, text in zip(names, texts, strict=True):
        name.with_suffix(".cpp").write_text(text, encoding="utf-8")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda name: _call(compiler, *FLAGS, "-c", f"{name}.cpp", "-o", f"{name}.o"), names))
    made = folder / "steps.so"
    _call(compiler, "-shared", *(f"{name}.o" for name in names), "-o", str(made), "-lm")
    return made


def _call(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ConfigError(f"compile=True: {command[0]} failed: {' '.join(done.stderr.split())[:300]}")


def _load(path: Path) -> Bind:
    run = ctypes.CDLL(str(path)).run
    run.argtypes, run.restype = (ctypes.c_int64, ctypes.c_void_p), None
    return partial(_Call, run)


class _Call:
    """A call with the addresses of its arrays."""

    def __init__(self, run: Callable[[int, Any], None], num_envs: int, arrays: Sequence[Tensor]) -> None:
        self._run, self._num_envs, self._arrays = run, num_envs, list(arrays)
        self._pointers = (ctypes.c_void_p * len(arrays))(*[x.data_ptr() for x in arrays])

    def __call__(self) -> None:
        self._run(self._num_envs, self._pointers)

    def replace(self, at: int, x: Tensor) -> None:
        """Array number `at` is `x` from now on."""
        self._arrays[at] = x  # which keeps it alive
        self._pointers[at] = x.data_ptr()


@cache
def _processor() -> tuple[str, ...]:
    """What the machine code may use: a library made for one processor can stop another."""
    known = (platform.system(), platform.machine())
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        return *known, *sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))})
    return *known, platform.processor(), platform.node()


def has_compiler() -> bool:
    """Whether a C++ compiler is installed."""
    return _compiler() is not None


def _compiler() -> str | None:
    """The C++ compiler that CXX names, or the first that is installed."""
    named = os.environ.get("CXX")
    return next((path for name in ([named] if named else COMPILERS) if (path := which(name))), None)
