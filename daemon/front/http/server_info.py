"""/api/version, /api/server, /api/system/info: what the server is. Clients look for OctoPrint's name and version."""

import os
import platform
import sys
from datetime import UTC, datetime

from daemon import OCTOPRINT_VERSION, __version__
from daemon.front.http.base import ApiHandler


class VersionHandler(ApiHandler):
    """/api/version."""

    def get(self) -> None:
        """Show API level and version; slicers expect the text to begin with OctoPrint."""
        text = f"OctoPrint {OCTOPRINT_VERSION} (nozzled {__version__})"
        self.write({"api": "0.1", "server": OCTOPRINT_VERSION, "text": text})


class ServerHandler(ApiHandler):
    """/api/server."""

    def get(self) -> None:
        """Show the version; there is no safe mode."""
        self.write({"version": OCTOPRINT_VERSION, "safemode": None})


class SystemInfoHandler(ApiHandler):
    """/api/system/info."""

    def get(self) -> None:
        """Show the machine's properties, as OctoPrint does; whether the internet can be reached is not tested."""
        generated = datetime.fromtimestamp(self.service.wall(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self.write(
            {
                "systeminfo": {
                    "browser.user_agent": self.request.headers.get("User-Agent", "")[:200],
                    "connectivity.enabled": False,
                    "connectivity.online": True,
                    "connectivity.connection_ok": True,
                    "connectivity.connection_check": "",
                    "connectivity.resolution_ok": True,
                    "connectivity.resolution_check": "",
                    "env.hardware.cores": os.cpu_count(),
                    "env.hardware.freq": 0.0,
                    "env.hardware.ram": _memory(),
                    "env.os.id": sys.platform,
                    "env.os.platform": platform.platform(),
                    "env.os.bits": 64 if sys.maxsize > 2**32 else 32,
                    "env.python.version": platform.python_version(),
                    "env.python.virtualenv": sys.prefix != sys.base_prefix,
                    "env.python.pip": "",
                    "octoprint.version": OCTOPRINT_VERSION,
                    "octoprint.safe_mode": False,
                    "octoprint.last_safe_mode.date": "unknown",
                    "octoprint.last_safe_mode.reason": "unknown",
                    "nozzled.version": __version__,
                    "systeminfo.generated": generated,
                    "systeminfo.generator": "systemapi",
                }
            }
        )


def _memory() -> int | None:
    """Return the machine's memory in bytes; None if the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None
