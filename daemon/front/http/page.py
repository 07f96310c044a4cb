"""The page for people: its files, as they lie in `daemon/front/page`. Nothing builds them.

A browser keeps what it has under a name with the hash of all files in it, `/page/HASH/app.mjs`; the modules import each
other by relative names, so all of them come under that hash. There the modules of the first view are one file
(`daemon.front.page_modules`), made and compressed once, when the first one is asked for. Without a hash, as under
`/?modules`, each module is what lies on the disk.
"""

import asyncio
import html
import logging
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from daemon.camera.addresses import shown_in_page
from daemon.config import WebcamConfig
from daemon.front import compression
from daemon.front.access import hosts, strangers
from daemon.front.http.base import ApiHandler
from daemon.front.http.public import PAGE, STYLE
from daemon.front.page_files import HASH_LENGTH, File, files
from daemon.http.errors import Refused

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
"""Scripts, styles and answers from here alone; no text becomes a script."""

_ORIGIN = re.compile(r"[A-Za-z0-9.-]+(?::\d{1,5})?|\[[0-9A-Fa-f:.]+\](?::\d{1,5})?", re.ASCII)


def policy_of(webcam: WebcamConfig) -> str:
    """Return the policy of the page: pictures may also come from where the camera is, and from nowhere else."""
    origins = {origin for url in shown_in_page(webcam) if (origin := _origin(url)) is not None}
    return POLICY.replace("img-src 'self' blob:", " ".join(["img-src 'self' blob:", *sorted(origins)]))


def _origin(url: str) -> str | None:
    """Return the origin of an address of another server, None where it is none, or nothing that a policy could name."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}" if parts.scheme in ("http", "https") and _ORIGIN.fullmatch(host) else None


FOR_EVER = "public, max-age=31536000, immutable"

log = logging.getLogger("nozzled.http")


def _accepts(handler: ApiHandler, what: str) -> bool:
    return what in handler.request.headers.get("Accept", "")


class PageHandler(ApiHandler):
    """Base: sends a file of the page."""

    for_everybody = True  # there is no secret in it
    judges_keys = False

    def send(self, file: File, *, for_ever: bool) -> None:
        """Send it, packed where the client takes that; or 304, where it has it."""
        self.set_header("Cache-Control", FOR_EVER if for_ever else "no-cache")
        self.set_header("Content-Type", file.kind)
        self.add_header("Vary", "Accept-Encoding")
        self._etag = f'"{file.digest}"'
        if file.packed and compression.accepts(self.request.headers.get("Accept-Encoding", "")):
            self.set_header("Content-Encoding", "gzip")
            self._etag = f'"{file.digest}-gz"'
            self.write(file.packed)
        else:
            self.write(file.data)

    _etag: str | None = None

    def compute_etag(self) -> str | None:
        """Return the hash that the client compares."""
        return self._etag


class FrontPageHandler(PageHandler):
    """/: the page, for browsers; apps ask for it too, to see whether anybody is there."""

    any_name = True

    async def get(self) -> None:
        """Send the page; who does not ask for HTML gets a text; who comes by an unknown name, what to do about it."""
        self.add_header("Vary", "Accept")
        if not _accepts(self, "text/html"):
            self._send_plain(PAGE)
        elif not hosts.is_ours(self.request.host, hosts.own_names(self.service.config.http.hostnames)):
            self.set_status(403)
            self._send_plain(_unknown_name(self.request.host))
        elif (index := await asyncio.to_thread(self._index, "index.html")) is not None:
            self.set_header("Content-Security-Policy", policy_of(self.service.webcam))
            self.send(index, for_ever=False)
        else:
            raise Refused(404, "Not Found")

    @property
    def _index(self) -> Callable[[str], File | None]:
        return files().source if "modules" in self.request.query_arguments else files().find

    def _send_plain(self, text: str) -> None:
        self.set_header("Content-Security-Policy", "default-src 'none'; style-src 'self'; frame-ancestors 'none'")
        self.set_header("Content-Type", "text/html; charset=UTF-8")
        self.set_header("Cache-Control", "no-cache")
        self.write(text)


def _unknown_name(header: str) -> str:
    name = html.escape(hosts.host_of(header)[:200] or "?")
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>nozzled: unknown name</title>
{STYLE}
<h1>nozzled does not know the name {name}</h1>
<p>A page of somebody else could be opened under a name that has been pointed at this machine, so nozzled answers under
its own names alone: its addresses, <code>localhost</code>, and its host name.</p>
<p>If this name is right, add it to the configuration of nozzled, then restart it:</p>
<pre>[http]
hostnames = ["{name}"]</pre>
<p>Until then the page opens under the IP address of the machine.</p>
</html>
"""


class PageFileHandler(PageHandler):
    """/page/NAME and /page/HASH/NAME."""

    any_name = True  # as the text under a name that is not known has a style

    def cost(self) -> float:
        """Return less for what is in memory: a browser asks for dozens of them at once."""
        given, name = _parted(self.path_args[0])
        return strangers.FILE if files().find_version(name, given) is not None else super().cost()

    async def get(self, path: str) -> None:
        """Send a file of the page; for ever, where the address holds the hash of what is in it."""
        given, name = _parted(path)
        found = files().find if given else files().source
        file = files().find_version(name, given) or await asyncio.to_thread(found, name)
        if file is None:
            raise Refused(404, "the page has no such file")
        for_ever = given == files().digest or self.get_query_argument("v", "") == file.digest
        self.set_header("Content-Security-Policy", POLICY)
        self.send(file, for_ever=for_ever)


def _parted(path: str) -> tuple[str, str]:
    """Return the hash in an address, "" where there is none, and the name of the file."""
    folder, _, rest = path.partition("/")
    return (folder, rest) if re.fullmatch(rf"[0-9a-f]{{{HASH_LENGTH}}}", folder) else ("", path)


def routes(given: dict[str, Any]) -> list[tuple[str, type[ApiHandler], dict[str, Any]]]:
    """Return the addresses of the page."""
    return [(r"/", FrontPageHandler, given), (r"/page/(.+)", PageFileHandler, given)]
