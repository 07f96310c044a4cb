"""Resources of OctoPrint that this daemon does not have, as empty lists that satisfy clients."""

from daemon.front.http.base import ApiHandler


class SlicingHandler(ApiHandler):
    """/api/slicing."""

    def get(self) -> None:
        """List no slicers."""
        self.write({})
