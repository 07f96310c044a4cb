"""The web page: its files are those in `daemon/front/page`; there is no build step.

Browsers cache the files for ever under an address with the hash of them all, `/page/HASH/app.mjs`. The modules import
each other by relative names, so all of them are requested under that hash. Under it, the modules of the first view are
one file (`daemon.front.page_modules`), joined and compressed at the first request. Without a hash, as under
`/?modules`, each module is sent as it is on the disk.
"""

import asyncio
import html
import logging
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from daemon.camera.addresses import page_addresses
from daemon.config import WebcamConfig
from daemon.front import compression
from daemon.front.access import anonymous, hosts
from daemon.front.http.base import ApiHandler
from daemon.front.http.public import PAGE, STYLE
from daemon.front.page_files import HASH_LENGTH, File, files
from daemon.http.errors import Refused

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
"""Scripts, styles and connections only to this server; no text can become a script."""

_ORIGIN = re.compile(r"[A-Za-z0-9.-]+(?::\d{1,5})?|\[[0-9A-Fa-f:.]+\](?::\d{1,5})?", re.ASCII)


def policy_of(webcam: WebcamConfig) -> str:
    """Return the page's content security policy: pictures may also come from the cameras' servers."""
    origins = {origin for url in page_addresses(webcam) if (origin := _origin(url)) is not None}
    return POLICY.replace("img-src 'self' blob:", " ".join(["img-src 'self' blob:", *sorted(origins)]))


def _origin(url: str) -> str | None:
    """Return the origin of another server's address; None if it has none that a policy could name."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}" if parts.scheme in ("http", "https") and _ORIGIN.fullmatch(host) else None


IMMUTABLE = "public, max-age=31536000, immutable"

log = logging.getLogger("nozzled.http")


def _accepts(handler: ApiHandler, what: str) -> bool:
    return what in handler.request.headers.get("Accept", "")


class PageHandler(ApiHandler):
    """Base of the handlers that send the page's files."""

    is_public = True  # the files hold no secrets
    checks_keys = False

    def send(self, file: File, *, immutable: bool) -> None:
        """Send the file, compressed if the client accepts that; or 304 if the client has it."""
        self.set_header("Cache-Control", IMMUTABLE if immutable else "no-cache")
        self.set_header("Content-Type", file.kind)
        self.add_header("Vary", "Accept-Encoding")
        self._etag = f'"{file.digest}"'
        if file.gzip_data and compression.accepts(self.request.headers.get("Accept-Encoding", "")):
            self.set_header("Content-Encoding", "gzip")
            self._etag = f'"{file.digest}-gz"'
            self.write(file.gzip_data)
        else:
            self.write(file.data)

    _etag: str | None = None

    def compute_etag(self) -> str | None:
        """Return the ETag of the sent file."""
        return self._etag


class FrontPageHandler(PageHandler):
    """/: the page, for browsers; apps request it too, to see whether the server is up."""

    answers_any_host = True

    async def get(self) -> None:
        """Send the page; to clients that do not ask for HTML, a short text; under an unknown host name, help."""
        self.add_header("Vary", "Accept")
        if not _accepts(self, "text/html"):
            self._send_plain(PAGE)
        elif not hosts.is_ours(self.request.host, hosts.own_host_names(self.service.config.http.hostnames)):
            self.set_status(403)
            self._send_plain(_unknown_name(self.request.host))
        elif (index := await asyncio.to_thread(self._find_file, "index.html")) is not None:
            self.set_header("Content-Security-Policy", policy_of(self.service.webcam))
            self.send(index, immutable=False)
        else:
            raise Refused(404, "Not Found")

    @property
    def _find_file(self) -> Callable[[str], File | None]:
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
<p>Another website could point its name at this machine and so act as this page. Therefore nozzled shows its page
only under its own names: its addresses, <code>localhost</code>, and its host name.</p>
<p>If this name is right, add it to the configuration of nozzled, then restart it:</p>
<pre>[http]
hostnames = ["{name}"]</pre>
<p>Until then the page opens under the IP address of the machine.</p>
</html>
"""


class PageFileHandler(PageHandler):
    """/page/NAME and /page/HASH/NAME."""

    answers_any_host = True  # the help for an unknown host name has a style sheet

    def cost(self) -> float:
        """Return a lower cost for files in memory: a browser requests dozens of them at once."""
        digest, name = _split_hash(self.path_args[0])
        return anonymous.FILE_COST if files().find_version(name, digest) is not None else super().cost()

    async def get(self, path: str) -> None:
        """Send a file of the page; it is cached for ever if the address has its hash."""
        digest, name = _split_hash(path)
        find = files().find if digest else files().source
        file = files().find_version(name, digest) or await asyncio.to_thread(find, name)
        if file is None:
            raise Refused(404, "the page has no such file")
        immutable = digest == files().digest or self.get_query_argument("v", "") == file.digest
        self.set_header("Content-Security-Policy", POLICY)
        self.send(file, immutable=immutable)


def _split_hash(path: str) -> tuple[str, str]:
    """Return the hash in an address, or "", and the name of the file."""
    folder, _, file_path = path.partition("/")
    return (folder, file_path) if re.fullmatch(rf"[0-9a-f]{{{HASH_LENGTH}}}", folder) else ("", path)


def routes(arguments: dict[str, Any]) -> list[tuple[str, type[ApiHandler], dict[str, Any]]]:
    """Return the routes of the page."""
    return [(r"/", FrontPageHandler, arguments), (r"/page/(.+)", PageFileHandler, arguments)]
