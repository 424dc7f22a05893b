"""The errors a user can meet, and how they are worded; scripts make a single line of each and exit with code 2."""

from collections.abc import Iterable
from difflib import get_close_matches


class GreenhopError(Exception):
    """Base of everything the package raises on purpose."""


class ConfigError(GreenhopError, ValueError):
    """A value given by the user is not allowed: says what was given, what is allowed and where."""


class CompilerError(ConfigError):
    """The C++ compiler is missing, fails, hangs or makes what cannot be loaded: names it and what it said."""


class ActionError(GreenhopError, ValueError):
    """An action holds NaN or infinity, or has the wrong shape."""


class SolverError(GreenhopError, RuntimeError):
    """A linear programme was not solved: infeasible, out of time or numerically stuck."""


class DataError(GreenhopError, ValueError):
    """A data file cannot be read as the layout it claims to be: names the file and the row."""


def one_line(error: BaseException) -> str:
    """The message of an error, and of what caused it, on one line."""
    parts = [" ".join(str(e).split()) for e in (error, error.__cause__) if e is not None]
    return ": ".join(dict.fromkeys(parts))


def nearest(word: str, allowed: Iterable[str], cutoff: float = 0.6) -> str:
    """A hint at the allowed word that is most like `word`; nothing where none is.

    Args:
        word: what was given.
        allowed: what could have been.
        cutoff: least likeness, 0 to 1.
    """
    close = get_close_matches(word, [other for other in allowed if other != word], n=1, cutoff=cutoff)
    return f"; did you mean {close[0]}?" if close else ""
