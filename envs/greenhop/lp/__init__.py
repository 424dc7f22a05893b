"""The linear programme over the simulator's own parameters: clairvoyant bound, certificate, replay and nodal prices."""

from greenhop.lp.bound import Bound, bound
from greenhop.lp.model import LinearProgram, build
from greenhop.lp.solve import Options, Solution, Solver, solve
from greenhop.lp.window import Terminal, Window, episode_terminal, make_window

__all__ = [
    "Bound",
    "LinearProgram",
    "Options",
    "Solution",
    "Solver",
    "Terminal",
    "Window",
    "bound",
    "build",
    "episode_terminal",
    "make_window",
    "solve",
]
