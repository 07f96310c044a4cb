"""/client/octoprint.mjs: the client library for browsers, from the server that it talks to."""

import asyncio
import functools
from pathlib import Path

from daemon.front.http.base import Cached

_LIBRARY = Path(__file__).parents[2] / "client" / "octoprint.mjs"  # importing its package would cost 20 ms


class ClientLibraryHandler(Cached):
    """/client/octoprint.mjs."""

    for_everybody = True  # what a page imports comes without a key; there is no secret in it
    judges_keys = False

    async def get(self) -> None:
        """Send the module."""
        self.set_header("Content-Type", "text/javascript; charset=utf-8")
        self.write(await asyncio.to_thread(_text))


@functools.cache
def _text() -> bytes:
    return _LIBRARY.read_bytes()
