"""/api/links: signed addresses of pictures and files, which work for a while without a key."""

import asyncio
import re

from daemon.front.access.signing import PERIOD
from daemon.front.http.base import ApiHandler
from daemon.http.errors import Refused
from daemon.one_line import is_one_line

MAX_PATHS = 256  # addresses in one request
MAX_PATH_LENGTH = 2048  # characters

_ADDRESSES = re.compile(
    r"/downloads/(?:files|thumbnails)/local/[^?#]+(?:\?[^#]*)?|/api/history/\d{1,18}/thumbnail"
    r"|/api/history\.(?:csv|json)(?:\?[^#]*)?"
    r"|/downloads/timelapse/[^/?#]+"
    r"|/webcam/(?:[^/?#]+/)?(?:\?[^#]*)?"
    r"|/api/recordings/(?:faults|sessions)/[A-Za-z0-9_.-]+\.jsonl\.gz",
    re.ASCII,
)


class LinksHandler(ApiHandler):
    """/api/links."""

    write_scope = ApiHandler.read_scope

    def post(self) -> None:
        """Sign addresses with this key; they stop working when the key is revoked."""
        paths = self.json_body().get("paths")
        if not isinstance(paths, list) or not 1 <= len(paths) <= MAX_PATHS:
            raise Refused(400, f"paths must be a list of 1 to {MAX_PATHS} addresses")
        for path in paths:
            _require_signable(path)
        self.write({"links": {path: self._signed(path) for path in paths}, "expires": PERIOD})

    def _signed(self, path: str) -> str:
        address, identity = f"/{path.lstrip('/')}", self.identity
        if identity is None or not identity.digest:
            return address  # a client that needs no key needs no signature
        return self.service.access.signing.sign(address, identity.digest, asyncio.get_running_loop().time())


def _require_signable(path: object) -> None:
    is_plain = isinstance(path, str) and len(path) <= MAX_PATH_LENGTH and is_one_line(path)
    if not isinstance(path, str) or not is_plain or not _ADDRESSES.fullmatch(f"/{path.lstrip('/')}"):
        raise Refused(
            400, f"{str(path)[:60]!r} is not a file's or a picture's address such as /downloads/files/local/a.gcode"
        )
