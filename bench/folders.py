"""Where the benchmarks find and keep things."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def cache() -> Path:
    """Return the folder for what is built or installed once: $NOZZLED_BENCH_DIR, or below the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(os.environ.get("NOZZLED_BENCH_DIR") or Path(base, "nozzled-bench"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()
