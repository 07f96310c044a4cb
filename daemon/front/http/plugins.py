"""OctoPrint's plug-in manager and software update: there are no plug-ins, and no automatic updates."""

import platform
import sys
from typing import Any

from daemon import OCTOPRINT_VERSION, __version__
from daemon.front.http.base import ApiHandler


class PluginsHandler(ApiHandler):
    """/plugin/pluginmanager/plugins and /api/plugin/pluginmanager."""

    def get(self) -> None:
        """List none."""
        self.write(
            {
                "plugins": [],
                "orphan_data": {},
                "octoprint": OCTOPRINT_VERSION,
                "online": False,
                "os": sys.platform,
                "pip": {
                    "available": False,
                    "version": "",
                    "install_dir": "",
                    "python": "",
                    "use_user": False,
                    "virtual_env": False,
                    "additional_args": None,
                },
                "supported_extensions": {"archive": [], "json": [], "python": []},
                "safe_mode": False,
            }
        )


class VersionsHandler(ApiHandler):
    """/plugin/pluginmanager/plugins/versions."""

    def get(self) -> None:
        """List none."""
        self.write({})


class UpdatesHandler(ApiHandler):
    """/plugin/softwareupdate/check."""

    def get(self) -> None:
        """Show the version; no server is asked for a newer one."""
        self.write(
            {
                "status": "current",
                "timestamp": self.service.wall(),
                "storage": {"free": [], "sufficient": True},
                "information": {"octoprint": _current()},
                "environment": {
                    "supported": True,
                    "versions": [{"name": "Python", "current": platform.python_version(), "minimum": "3.11"}],
                },
            }
        )


def _current() -> dict[str, Any]:
    version = {"name": OCTOPRINT_VERSION, "value": OCTOPRINT_VERSION}
    return {
        "displayName": f"nozzled {__version__}",
        "displayVersion": OCTOPRINT_VERSION,
        "information": {"local": version, "remote": {**version, "release_notes": None}, "needs_online": False},
        "updateAvailable": False,
        "updatePossible": False,
        "compatible": True,
        "disabled": True,
        "online": False,
        "error": None,
        "releaseChannels": {"available": [], "current": "", "stable": ""},
        "releaseNotes": None,
        "releasedVersion": True,
    }
