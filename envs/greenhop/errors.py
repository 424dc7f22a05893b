"""The errors a user can meet; scripts turn every one of them into a single line and exit code 2."""


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
