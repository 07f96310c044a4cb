"""The Chromium of the tests: that of the system, with as little work beside the page as possible."""

import shutil

from support.processes import cannot_run

# The shell has no windows, toolbar or GPU process: for the same page it takes a fifth less of the processor.
PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
OPTIONS = ("--no-sandbox", "--disable-gpu")  # CI runs as root, and has no GPU


def launch_options():
    """Return the arguments of playwright's `launch`; without a Chromium the test cannot run."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        cannot_run("there is no Chromium")
    return {"executable_path": program, "args": OPTIONS}
