"""A whole print on a simulated printer and a clock that jumps: `nozzled simulate`."""
