"""The C++ compiler of this computer: which one, whether it works, and calling it so that it cannot hang.

`CXX` names it as for make: a command, with arguments if need be (`ccache g++`, `g++ -O2`). Where none is installed,
Zig's will do, which the extra `fast` brings along as a Python package. Each call may take `GREENHOP_COMPILE_TIMEOUT_S`
seconds.
"""

from __future__ import annotations

import ctypes
import os
import platform
import shlex
import signal
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory, TemporaryFile, gettempdir
from typing import IO, Any

from greenhop.cache import Entry, key_of
from greenhop.errors import CompilerError, ConfigError
from greenhop.files import ENDING, sweep
from greenhop.saying import at_work, say

COMPILERS = ("g++", "clang++", "c++")
ZIG = ("c++", "-nostdlib++")  # arguments; its C++ library takes a minute to build, and our texts use none of it
FLAGS = (
    "-O1",  # -O2 compiles twice as long for the same speed
    "-march=native" if platform.machine() in ("x86_64", "AMD64") else "-mcpu=native",
    "-fno-signed-zeros", "-ffinite-math-only", "-fno-trapping-math", "-ffp-contract=off", "-std=c++17", "-w", "-fPIC",
)  # fmt: skip
LIMIT_S = 120.0  # of one call: the largest takes some seconds, and the machine may be busy
TRIAL_LIMIT_S = 20.0  # of each call of the trial, which takes a tenth of a second; Zig builds what it links first
TRIAL = 'extern "C" int answer() { return 42; }\n'
SHOWN = 300  # letters of what a compiler says


def compiler() -> tuple[str, ...] | None:
    """The command that `CXX` names, arguments included, or the first compiler that is installed."""
    named = os.environ.get("CXX", "").strip()
    for text in [named] if named else COMPILERS:
        if path := which(text):
            return (path,)
        with suppress(ValueError):  # a quotation mark without its twin
            first, *arguments = shlex.split(text)
            if path := which(first):
                return path, *arguments
    return None if named else _packaged()


def _packaged() -> tuple[str, ...] | None:
    """Zig's compiler, where its Python package is installed."""
    package = find_spec("ziglang")
    if package is None or package.origin is None:
        return None
    path = which("zig", path=str(Path(package.origin).parent))
    return (path, *ZIG) if path else None


def sought() -> str:
    """What `compiler` looked for, and what would help."""
    if named := os.environ.get("CXX", "").strip():
        return f"CXX={named}"
    return f"{', '.join(COMPILERS)}, ziglang; install g++, or greenhop[fast] by pip"


def trouble() -> str | None:
    """Why nothing can be compiled here, in one line; None where a small trial works."""
    command = compiler()
    if command is None:
        return f"no C++ compiler was found ({sought()})"
    facts = Path(command[0]).stat()
    return _trial(command, (facts.st_mtime_ns, facts.st_size))


@cache
def _trial(command: tuple[str, ...], stamp: tuple[int, int]) -> str | None:
    """What is wrong with a compiler; `stamp` tells one from what later takes its place."""
    entry = Entry("machine_code", key_of(TRIAL, FLAGS, command, stamp), ".so")
    if entry.find():
        return None  # it worked once
    try:
        with at_work(f"trying {Path(command[0]).name}"), build_folder() as folder:
            patience = limit_s() if command[1:] == ZIG else min(TRIAL_LIMIT_S, limit_s())
            made = library([TRIAL], command, folder, patience)
            if opened(made, "answer", command)() != 42:
                return f"{shlex.join(command)} made wrong code"
            with suppress(OSError):
                entry.keep(made.read_bytes())
    except CompilerError as error:
        return str(error)
    return None


def limit_s() -> float:
    """Seconds that one call may take.

    Raises:
        ConfigError: the environment names no such number.
    """
    given = os.environ.get("GREENHOP_COMPILE_TIMEOUT_S")
    if given is None:
        return LIMIT_S
    with suppress(ValueError):
        if 0.0 < float(given) < float("inf"):
            return float(given)
    raise ConfigError(f"GREENHOP_COMPILE_TIMEOUT_S = {given!r} must be a number of seconds above 0")


@contextmanager
def build_folder() -> Iterator[Path]:
    """A private folder that vanishes; what killed processes left of theirs goes too.

    Raises:
        CompilerError: it cannot be written in.
    """
    sweep(Path(gettempdir()))
    try:
        with TemporaryDirectory(prefix=".build.", suffix=ENDING) as folder:
            yield Path(folder)
    except OSError as error:
        raise CompilerError(f"nothing can be compiled in {gettempdir()}: {error.strerror or error}") from None


def library(texts: Sequence[str], command: Sequence[str], folder: Path, limit_s: float) -> Path:
    """Compile C++ texts side by side in `folder` and link them to a shared library.

    Raises:
        CompilerError: the compiler fails, writes nothing or takes longer than `limit_s` in one call.
    """
    sources = [folder / f"part{k}.cpp" for k in range(len(texts))]
    for source, text in zip(sources, texts, strict=True):
        source.write_text(text, encoding="utf-8")
    calls = _Calls(command, limit_s)

    def compiled(source: Path) -> Path:
        if len(sources) > 1:
            say("compiling machine code: %s of %d functions; it is kept for next time", source.stem[4:], len(sources))
        return calls.make(source.with_suffix(".o"), *FLAGS, "-c", str(source))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            objects = list(pool.map(compiled, sources))
        finally:
            calls.stop()
    return _Calls(command, limit_s).make(folder / "steps.so", "-shared", *map(str, objects), "-lm")


def opened(path: Path, name: str, command: Sequence[str]) -> Any:
    """The function `name` of a library that a compiler made.

    Raises:
        CompilerError: it is none, or has no such function.
    """
    try:
        return getattr(ctypes.CDLL(str(path)), name)
    except (OSError, AttributeError) as error:
        said = " ".join(str(error).replace(f"{path}:", "").split())[:SHOWN]
        raise CompilerError(f"{shlex.join(command)} made what cannot be loaded: {said}") from None


class _Calls:
    """Calls of a compiler side by side, which end together."""

    def __init__(self, command: Sequence[str], limit_s: float) -> None:
        self._command, self._limit_s = command, limit_s
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopped = False

    def make(self, path: Path, *arguments: str) -> Path:
        """Let the compiler write `path`.

        Raises:
            CompilerError: it does not.
        """
        name = shlex.join(self._command)
        with TemporaryFile() as said:  # a pipe would be held open by children that outlive the compiler
            try:
                code = self._call([*self._command, *arguments, "-o", str(path)], said)
            except subprocess.TimeoutExpired:
                limit = f"{self._limit_s:g} s (GREENHOP_COMPILE_TIMEOUT_S)"
                raise CompilerError(f"{name} did not end within {limit}") from None
            except OSError as error:
                raise CompilerError(f"{name} cannot be started: {error.strerror}") from None
            said.seek(0)
            words = " ".join(said.read().decode(errors="replace").split())[:SHOWN]
        if code != 0:
            raise CompilerError(f"{name} failed: {words or f'exit code {code}'}")
        if not path.is_file() or path.stat().st_size == 0:
            raise CompilerError(f"{name} wrote nothing")
        return path

    def _call(self, command: Sequence[str], said: IO[bytes]) -> int:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True
        )  # a session of its own, so that its children can be ended with it
        self._running.add(process)
        try:
            if self._stopped:
                raise subprocess.TimeoutExpired(command, 0.0)
            return process.wait(self._limit_s)
        finally:
            _end(process)
            self._running.discard(process)

    def stop(self) -> None:
        """End what is running: one call failed, or nobody waits any longer."""
        self._stopped = True
        for process in list(self._running):
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill a compiler and its children, if they still run."""
    if process.poll() is None:
        with suppress(OSError):
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
        process.wait()
