"""What OctoPrint has and this daemon has not, as the empty lists that clients can live with."""

from daemon.front.http.base import ApiHandler
from daemon.front.http.errors import Refused


class TimelapseHandler(ApiHandler):
    """/api/timelapse."""

    def get(self) -> None:
        """List none; it is off."""
        self.write({"config": {"type": "off"}, "files": [], "enabled": False})

    def post(self) -> None:
        """Refuse to turn it on."""
        raise Refused(409, "there is no timelapse")


class SlicingHandler(ApiHandler):
    """/api/slicing."""

    def get(self) -> None:
        """List no slicers."""
        self.write({})
