"""/client/octoprint.mjs: the client library for browsers."""

import asyncio
import functools
from pathlib import Path

from daemon.front.http.base import CachedHandler

_LIBRARY = Path(__file__).parents[2] / "client" / "octoprint.mjs"  # importing its package would cost 20 ms


class ClientLibraryHandler(CachedHandler):
    """/client/octoprint.mjs."""

    is_public = True  # a page's imports carry no key; the library holds no secrets
    checks_keys = False

    async def get(self) -> None:
        """Send the module."""
        self.set_header("Content-Type", "text/javascript; charset=utf-8")
        self.write(await asyncio.to_thread(_text))


@functools.cache
def _text() -> bytes:
    return _LIBRARY.read_bytes()
