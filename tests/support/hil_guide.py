"""What tests of `hal.testing` share: the code in the guide `docs/hil.md`, and a simulated printer behind a pty."""

import re
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

_GUIDE = Path(__file__).parents[2] / "docs" / "hil.md"


def code_of_guide(language, first):
    """Return the block of code in the guide that begins so."""
    blocks = re.findall(rf"```{language}\n(.*?)```", _GUIDE.read_text(), re.DOTALL)
    return next(block for block in blocks if block.startswith(first))


@contextmanager
def pty_printer(folder):
    """Run a simulated printer in real time behind the pty `port`; yields its address; `oracle.jsonl` is its oracle."""
    port = folder / "port"
    options = ["--pty", port, "--oracle", folder / "oracle.jsonl", "--speed", "50"]
    with subprocess.Popen(
        [sys.executable, "-m", "hal.simulated", *options], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert "->" in process.stdout.readline()
            yield f"serial:{port}"
        finally:
            process.terminate()
