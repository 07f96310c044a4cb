"""What OctoPrint has and this daemon has not, as the empty lists that clients can live with."""

from daemon.front.http.base import ApiHandler


class SlicingHandler(ApiHandler):
    """/api/slicing."""

    def get(self) -> None:
        """List no slicers."""
        self.write({})
