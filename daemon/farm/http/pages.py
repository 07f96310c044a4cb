"""The farm's page: files of one flat folder, open to everybody; what they show takes a key."""

import asyncio
from pathlib import Path

from daemon.farm.http.base import FarmHandler
from daemon.farm.http.errors import FarmRefusal

FOLDER = Path(__file__).parent.parent / "page"

KINDS = {
    ".html": "text/html; charset=UTF-8",
    ".mjs": "text/javascript; charset=UTF-8",
    ".css": "text/css; charset=UTF-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".webmanifest": "application/manifest+json",
}

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class FarmPageHandler(FarmHandler):
    """/ and /page/<name>."""

    for_everybody = True

    async def get(self, name: str) -> None:
        """Give a file of the page."""
        path = FOLDER / (name or "index.html")
        kind = KINDS.get(path.suffix)
        if kind is None:
            raise FarmRefusal(404, "Not Found")
        try:
            data = await asyncio.to_thread(path.read_bytes)
        except OSError:
            raise FarmRefusal(404, "Not Found") from None
        self.set_header("Content-Type", kind)
        self.set_header("Content-Security-Policy", POLICY)
        self.set_header("Cache-Control", "no-cache")
        self.write(data)
