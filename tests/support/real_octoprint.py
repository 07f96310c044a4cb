"""The real OctoPrint with its virtual printer, on its own port and in its own folders."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.foreign import install
from support.processes import LIFETIME, Child, environment, free_port, until

VERSION = "1.11.8"
KEY = "0123456789ABCDEF0123456789ABCDEF"

# no wizard, and no plugin that opens connections or sends messages of its own
CONFIG = """\
api: {key: %s}
server:
  firstRun: false
  onlineCheck: {enabled: false}
  pluginBlacklist: {enabled: false}
  seenWizards: {corewizard: 4}
accessControl: {salt: nozzled-test}
serial: {autoconnect: false}
gcodeAnalysis: {runAt: never}
plugins:
  virtual_printer: {enabled: true}
  _disabled: [announcements, pluginmanager, softwareupdate, tracking, discovery, errortracking, backup, achievements,
              health_check, file_check, firmware_check, pi_support, corewizard]
"""


@contextmanager
def octoprint(folder: Path) -> Iterator[str]:
    """Run OctoPrint; yields its URL. It cannot choose a free port, so we do."""
    program = install(folder / "environment", f"OctoPrint=={VERSION}") / "octoprint"
    base = folder / "base"
    base.mkdir()
    (base / "config.yaml").write_text(CONFIG % KEY)
    user = [program, "--basedir", base, "user", "add", "test", "--password", "test-password", "--admin"]
    subprocess.run(user, check=True, capture_output=True, timeout=LIFETIME, env=environment())
    port = free_port()
    where = ["--host", "127.0.0.1", "--port", str(port), "--basedir", base]
    child = Child([program, "serve", "--iknowwhatimdoing", *where], folder / "octoprint.log")
    try:
        until(lambda: "Listening on" in child.output() or not child.running, "OctoPrint's start", LIFETIME)
        assert child.running, child.output()
        yield f"http://127.0.0.1:{port}"
    finally:
        child.end()
