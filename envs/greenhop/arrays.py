"""Names of NumPy arrays by what they hold."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]  # what is computed with
Floats32 = NDArray[np.float32]  # what is stored and shown to agents
Ints = NDArray[np.int64]  # rows, starts, positions
Bools = NDArray[np.bool_]  # masks
