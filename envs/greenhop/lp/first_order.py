"""A first-order solver for many windows at once, in torch on any device: restarted, reflected Halpern PDHG.

    minimise cost·x   subject to   row_lower ≤ A·x ≤ row_upper,   col_lower ≤ x ≤ col_upper

One step of the primal-dual hybrid gradient method maps z = (x, y) to T(z):

    x' = clip(x − τ·(cost − Aᵀy), column bounds)
    v  = y − σ·A(2x' − x),   y' = v + σ·clip(−v/σ, row bounds)              τ = η/ω,   σ = η·ω

and the iterates are drawn back to where they were last restarted (Halpern), after a reflection:

    z ← (n+1)/(n+2) · (2·T(z) − z) + 1/(n+2) · z_0

A restart happens when the fixed-point error ‖z − T(z)‖ has fallen enough, and then balances the primal weight ω; see
Lu and Yang, "Restarted Halpern PDHG for linear programming" (arXiv 2407.16144). Nothing is factorised: the work is
products with one sparse matrix shared by the batch, and with the few coefficients (PUE) in which its windows differ.

An x that violates its rows a little may cost less than the optimum, so the tolerance is no promise for the bound: what
y proves is what `certificate.certify` makes of it. How fast this is beside HiGHS stands in docs/baselines.md.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from time import process_time

import numpy as np
import torch
from torch import Tensor

from greenhop.errors import ConfigError, SolverError
from greenhop.lp.columns import Array
from greenhop.lp.model import LinearProgram
from greenhop.lp.solve import Solution

STEP = 0.998  # η: below 1/‖A‖, and the scaling below makes ‖A‖ ≤ 1
RUIZ = 10  # rounds of equilibration
SUFFICIENT, NECESSARY, LONG = 0.2, 0.8, 0.36  # restart rules of PDLP (arXiv 2106.04756, section 4.3) and cuPDLPx
SMOOTHING = 0.5  # of the logarithm of the primal weight, as in PDLP


@dataclass(frozen=True)
class FirstOrder:
    """When to stop, and where to compute."""

    tolerance: float = 1e-4  # relative gap and relative violation of the rows
    max_iterations: int = 100_000
    check_every: int = 40  # iterations between two looks at errors
    dtype: torch.dtype = torch.float64
    device: str = "cpu"


def solve_many(lps: Sequence[LinearProgram], options: FirstOrder = FirstOrder()) -> list[Solution]:
    """Solve programmes of one shape together, each to the tolerance; seconds are the whole batch's processor time.

    Raises:
        SolverError: a programme is not solved within the iterations allowed.
    """
    began = process_time()
    problem = _Problem(lps, options)
    run = _Iteration(problem)
    for k in range(options.max_iterations + 1):
        if k % options.check_every == 0 and run.check(k, options.tolerance):
            break
        run.advance()
    open_windows = torch.nonzero(run.solved_at < 0).flatten().tolist()
    if open_windows:
        raise SolverError(
            f"first-order iterations ended after {options.max_iterations} with {len(open_windows)} of {len(lps)} "
            f"windows above a gap of {options.tolerance:g} (worst {float(run.error.max()):.1e}); allow more iterations"
        )
    seconds, counts = process_time() - began, run.solved_at.tolist()
    x, y = problem.unscaled(run.best_x, run.best_y)
    return [Solution(x[:, b], y[:, b], "optimal", seconds, counts[b]) for b in range(len(lps))]


class _Problem:
    """The scaled batch: columns and rows `[n, B]`, `[m, B]`, batch last, so that one sparse product serves all."""

    def __init__(self, lps: Sequence[LinearProgram], o: FirstOrder) -> None:
        lp = lps[0]
        if not all(lp.same_shape(other) for other in lps):
            raise ConfigError("windows of one batch must have one shape: the same scenario, length and clock phase")
        values = np.stack([p.value for p in lps], axis=1)
        row, column = _equilibrated(lp, np.abs(values).max(axis=1))
        values = values * (row[lp.row] * column[lp.column])[:, None]
        self._dtype, self._device = o.dtype, o.device
        self.batch = len(lps)
        self._row, self._column = self._tensor(row[:, None]), self._tensor(column[:, None])
        differ = np.flatnonzero((values != values[:, :1]).any(axis=1))
        base = values[:, 0].copy()
        self._matrix, self._transposed = self._sparse(lp, base, False), self._sparse(lp, base, True)
        self._at = torch.from_numpy(lp.row[differ]).to(o.device), torch.from_numpy(lp.column[differ]).to(o.device)
        self._difference = self._tensor(values[differ] - base[differ, None])
        self.cost, self.low, self.high, self.row_low, self.row_high = (
            self._tensor(np.stack([getattr(p, name) for p in lps], axis=1))
            for name in ("cost", "col_lower", "col_upper", "row_lower", "row_upper")
        )
        self.offset = self._tensor(np.array([p.offset for p in lps]))
        finite = [torch.where(side.isfinite(), side, 0.0).abs() for side in (self.row_low, self.row_high)]
        right = torch.maximum(*finite)
        self.size = 1.0 + right.norm(dim=0)
        self.cost *= self._column
        self._money = 1.0 + self.cost.norm(dim=0)
        self._length = 1.0 + (right * self._row).norm(dim=0)
        self.cost /= self._money
        for side in (self.low, self.high):
            side /= self._column * self._length
        for side in (self.row_low, self.row_high):
            side *= self._row / self._length

    def times(self, x: Tensor) -> Tensor:
        """A·x, `[m, B]`."""
        row, column = self._at
        return (self._matrix @ x).index_add_(0, row, self._difference * x[column])

    def transposed_times(self, y: Tensor) -> Tensor:
        """Aᵀ·y, `[n, B]`."""
        row, column = self._at
        return (self._transposed @ y).index_add_(0, column, self._difference * y[row])

    def error(self, x: Tensor, y: Tensor) -> Tensor:
        """`[B]` the larger of the relative gap to the dual objective and the relative violation of the rows."""
        reduced = self.cost - self.transposed_times(y)
        rows = torch.where(y > 0, y * self.row_low, torch.where(y < 0, y * self.row_high, 0.0))
        columns = torch.where(reduced > 0, reduced * self.low, reduced * self.high)
        scale = self._money * self._length
        dual = (rows.sum(0) + columns.sum(0)) * scale + self.offset
        primal = (self.cost * x).sum(0) * scale + self.offset
        ax = self.times(x)
        violated = ((ax - _clip(ax, self.row_low, self.row_high)) * (self._length / self._row)).norm(dim=0)
        return torch.maximum((primal - dual).abs() / (1.0 + dual.abs()), violated / self.size)

    def unscaled(self, x: Tensor, y: Tensor) -> tuple[Array, Array]:
        """Primal and dual values in the units of the programmes."""
        x, y = x * self._column * self._length, y * self._row * self._money
        return x.double().cpu().numpy(), y.double().cpu().numpy()

    def _tensor(self, array: Array) -> Tensor:
        return torch.from_numpy(array).to(self._device, self._dtype)

    def _sparse(self, lp: LinearProgram, values: Array, transposed: bool) -> Tensor:
        shape = (lp.rows.size, lp.columns.size)
        row, column = (lp.column, lp.row) if transposed else (lp.row, lp.column)
        order = np.lexsort((column, row))
        shape = shape[::-1] if transposed else shape
        starts = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=shape[0]))])
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sparse CSR", UserWarning)  # "in beta state"
            parts = torch.from_numpy(starts), torch.from_numpy(column[order]), torch.from_numpy(values[order])
            return torch.sparse_csr_tensor(*parts, size=shape, check_invariants=False).to(self._device, self._dtype)


class _Iteration:
    """Iterates, restart points and primal weights of every window; each window restarts by itself."""

    def __init__(self, p: _Problem) -> None:
        self._p = p
        self.x, self.y = _clip(torch.zeros_like(p.cost), p.low, p.high), torch.zeros_like(p.row_low)
        self._x0, self._y0 = self.x, self.y
        self.best_x, self.best_y = self.x, self.y
        self._weight, self._age = torch.ones_like(p.offset), torch.zeros_like(p.offset)
        self._first, self._last = torch.full_like(p.offset, torch.inf), torch.full_like(p.offset, torch.inf)
        self.error = torch.full_like(p.offset, torch.inf)
        self.solved_at = torch.full_like(p.offset, -1, dtype=torch.int64)

    def advance(self) -> None:
        """z ← (n+1)/(n+2)·(2·T(z) − z) + z_0/(n+2)."""
        x, y = self._mapped()
        pull = 1.0 / (self._age + 2.0)
        self.x = torch.lerp(2.0 * x - self.x, self._x0, pull)
        self.y = torch.lerp(2.0 * y - self.y, self._y0, pull)
        self._age += 1.0

    def check(self, k: int, tolerance: float) -> bool:
        """Keep what is solved, restart what should; whether all is solved."""
        x, y = self._mapped()
        self.error = self._p.error(x, y)
        now = (self.error <= tolerance) & (self.solved_at < 0)
        self.best_x, self.best_y = torch.where(now, x, self.best_x), torch.where(now, y, self.best_y)
        self.solved_at = torch.where(now, k, self.solved_at)
        moved = self._distance(self.x - x, self.y - y)
        better = (moved <= NECESSARY * self._first) & (moved > self._last)
        restart = (moved <= SUFFICIENT * self._first) | better | (self._age >= LONG * k)
        self._last = torch.where(restart, torch.inf, moved)
        self._restart(restart, x, y)
        return bool((self.solved_at >= 0).all())

    def _mapped(self) -> tuple[Tensor, Tensor]:
        """T(z)."""
        p, tau, sigma = self._p, STEP / self._weight, STEP * self._weight
        x = _clip(self.x - tau * (p.cost - p.transposed_times(self.y)), p.low, p.high)
        v = self.y - sigma * p.times(2.0 * x - self.x)
        return x, v + sigma * _clip(-v / sigma, p.row_low, p.row_high)

    def _distance(self, dx: Tensor, dy: Tensor) -> Tensor:
        """`[B]` length of a step in the norm in which T does not expand: ω|dx|²/η − 2·dy·A·dx + |dy|²/(ηω)."""
        own = self._weight * dx.square().sum(0) + dy.square().sum(0) / self._weight
        return (own / STEP - 2.0 * (dy * self._p.times(dx)).sum(0)).clamp_min(0.0).sqrt()

    def _restart(self, which: Tensor, x: Tensor, y: Tensor) -> None:
        dx, dy = (x - self._x0).norm(dim=0), (y - self._y0).norm(dim=0)
        known = which & (dx > 1e-12) & (dy > 1e-12)
        balanced = self._weight ** (1.0 - SMOOTHING) * (dy / dx) ** SMOOTHING
        self._weight = torch.where(known, balanced, self._weight)
        self.x, self.y = torch.where(which, x, self.x), torch.where(which, y, self.y)
        self._x0, self._y0 = torch.where(which, x, self._x0), torch.where(which, y, self._y0)
        self._age = torch.where(which, 0.0, self._age)
        after = self._mapped()
        self._first = torch.where(which, self._distance(self.x - after[0], self.y - after[1]), self._first)


def _clip(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    return torch.minimum(torch.maximum(x, low), high)


def _equilibrated(lp: LinearProgram, size: Array) -> tuple[Array, Array]:
    """Factors of rows and columns: Ruiz, then Pock and Chambolle, whose sums of magnitudes bound the norm of A by 1."""
    row, column = np.ones(lp.rows.size), np.ones(lp.columns.size)

    def divide(rows: Array, columns: Array) -> None:
        row[:] /= np.sqrt(np.where(rows > 0, rows, 1.0))
        column[:] /= np.sqrt(np.where(columns > 0, columns, 1.0))

    for _ in range(RUIZ):
        scaled, high = size * row[lp.row] * column[lp.column], (np.zeros(row.size), np.zeros(column.size))
        np.maximum.at(high[0], lp.row, scaled)
        np.maximum.at(high[1], lp.column, scaled)
        divide(*high)
    scaled = size * row[lp.row] * column[lp.column]
    sums = [np.bincount(at, scaled, len(to)) for at, to in ((lp.row, row), (lp.column, column))]
    divide(*(np.asarray(total, dtype=np.float64) for total in sums))
    return row, column
