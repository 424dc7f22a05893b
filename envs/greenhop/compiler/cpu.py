"""Straight-line arithmetic as a library of machine code for this computer's processor, made by its C++ compiler.

Each vector register holds one number of several environments. A few blocks of them run through the program at a time,
function by function, and keep what they compute in registers, on the stack and in a scratch array that stays in the
processor's cache. Libraries stay in the disk cache, by their text and the processor they were made for.
"""

from __future__ import annotations

import ctypes
import logging
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import cache, partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from torch import Tensor

from greenhop.cache import Entry, key_of, make_own
from greenhop.compiler import toolchain
from greenhop.compiler.cpp_text import Bind, Code, function
from greenhop.compiler.threads import side_by_side, spans
from greenhop.errors import CompilerError
from greenhop.saying import at_work

log = logging.getLogger(__name__)

PART_SIZE = 2_000  # numbers in a function: twice as many take four times as long to compile
BLOCKS = 2  # of lanes that a function works on before the next does: its instructions are read once for all
_HEAD = "void part{number}(int64_t n, int64_t e, void* const* p, F* s)"
_DRIVER = """
extern "C" void run(int64_t n, int64_t from, int64_t to, void* const* p) {{
  F* s = (F*)aligned_alloc(64, (sizeof(F) * {slots} * BLOCKS + 63) / 64 * 64);
  for (int64_t first = from; first < to; first += BLOCKS * LANES) {{
    int64_t end = first + BLOCKS * LANES < to ? first + BLOCKS * LANES : to;
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
        CompilerError: nothing fits in the cache, and there is no C++ compiler or it does not work.
    """
    texts, command = _texts(code, lanes, dtype), toolchain.compiler() or ()
    entry = Entry("machine_code", key_of(*texts, toolchain.FLAGS, *command[1:], *_processor()), ".so")
    if found := _stored(entry, command):
        return found
    if not command:
        raise CompilerError(
            f"compile=True needs a C++ compiler and found none ({toolchain.sought()}); name one in CXX, or leave "
            "compile=False"
        )
    with at_work("compiling machine code"), _alone(entry.folder, command):
        return _stored(entry, command) or _made(texts, command, entry)


def _stored(entry: Entry, command: Sequence[str]) -> Bind | None:
    """A library that was kept."""
    if found := entry.find():
        try:
            return _bind(toolchain.opened(found.path, "run", command))
        except CompilerError as error:
            log.warning("%s is refused (%s) and made again", found.path, error)
            with suppress(OSError):
                found.path.unlink()
    return None


@contextmanager
def _alone(folder: Path, command: Sequence[str]) -> Iterator[None]:
    """One process at a time for each compiler, where the folder can be written: many may want the same code at once.

    None waits longer than a call may take, so that a compiler that hangs holds up nobody for long.
    """
    with ExitStack() as held:
        with suppress(OSError):
            make_own(folder)
            held.enter_context(FileLock(folder / f".lock-{key_of(*command)[:8]}", timeout=toolchain.limit_s()))
        yield


def _made(texts: Sequence[str], command: Sequence[str], entry: Entry) -> Bind:
    """A new library, kept if it can be."""
    with toolchain.build_folder() as folder:
        made = toolchain.library(texts, command, folder, toolchain.limit_s())
        data = made.read_bytes()
        try:
            run = toolchain.opened(made, "run", command)
        except CompilerError:
            return _bind(_opened_elsewhere(entry, data, command))
        with suppress(OSError):
            entry.keep(data)
        return _bind(run)


def _opened_elsewhere(entry: Entry, data: bytes, command: Sequence[str]) -> Any:
    """The library from the cache: some systems run nothing from a temporary folder."""
    kept = entry.keep(data)
    try:
        return toolchain.opened(kept, "run", command)
    except CompilerError:
        kept.unlink(missing_ok=True)
        raise


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


def _bind(run: Any) -> Bind:
    """A function of a library, to be called with arrays."""
    run.argtypes, run.restype = (*[ctypes.c_int64] * 3, ctypes.c_void_p), None
    return partial(_Call, run)


class _Call:
    """A call with the addresses of its arrays."""

    def __init__(self, run: Callable[..., None], num_envs: int, arrays: Sequence[Tensor], threads: int) -> None:
        self._arrays = list(arrays)
        self._pointers = (ctypes.c_void_p * len(arrays))(*[x.data_ptr() for x in arrays])
        self._calls = [partial(run, num_envs, *span, self._pointers) for span in spans(num_envs, threads)]

    def __call__(self) -> None:
        if len(self._calls) == 1:
            self._calls[0]()
        else:
            side_by_side(self._calls)

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
