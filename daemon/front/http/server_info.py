"""/api/version and /api/server: who answers. Clients look for OctoPrint's name and for the API they know."""

from daemon import OCTOPRINT, __version__
from daemon.front.http.base import ApiHandler


class VersionHandler(ApiHandler):
    """/api/version."""

    def get(self) -> None:
        """Tell API level and version; slicers want the text to begin with OctoPrint."""
        self.write({"api": "0.1", "server": OCTOPRINT, "text": f"OctoPrint {OCTOPRINT} (nozzled {__version__})"})


class ServerHandler(ApiHandler):
    """/api/server."""

    def get(self) -> None:
        """Tell the version; there is no safe mode."""
        self.write({"version": OCTOPRINT, "safemode": None})
