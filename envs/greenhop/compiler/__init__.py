"""A function of one environment becomes straight-line machine code, on a CPU or a GPU; it knows no simulator."""
