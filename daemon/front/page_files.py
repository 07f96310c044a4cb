"""The files of the page, as browsers get them: hashed, compressed, and the modules of the first view in one file."""

import functools
import gzip
import hashlib
import logging
import re
from pathlib import Path

from daemon.front import compression
from daemon.front import page_modules as modules
from gcode.frozen import frozen

log = logging.getLogger("nozzled.http")

FOLDER = Path(__file__).parent / "page"
HASH_LENGTH = 12

_KINDS = {
    ".html": "text/html; charset=UTF-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".json": "application/json; charset=UTF-8",
    ".webmanifest": "application/manifest+json",
    ".txt": "text/plain; charset=UTF-8",
    ".png": "image/png",
}
"""The content types of served files; files with other suffixes are not served."""


@frozen
class File:
    """A file of the page.

    Attributes:
        kind: its content type.
        data: its content.
        gzip_data: the content gzipped; empty if that is not worth it.
        digest: of the data.
    """

    kind: str
    data: bytes
    gzip_data: bytes
    digest: str


def file_of(name: str, data: bytes) -> File:
    """Return a file, hashed and compressed; takes some ms for a large one."""
    gzip_data = gzip.compress(data, 9, mtime=0) if len(data) > compression.SMALL and not name.endswith(".png") else b""
    return File(_KINDS[Path(name).suffix], data, gzip_data, hashlib.sha256(data).hexdigest()[:HASH_LENGTH])


class Files:
    """The files, read again when one of them has changed: developers of the page only have to reload it."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._folder = folder
        self._stamp: object = None
        self._files: dict[str, File] = {}
        self._paths: dict[str, Path] = {}
        self.digest = ""

    def find_version(self, name: str, digest: str) -> File | None:
        """Return the file with this name if `digest` is the hash of the current set of files; None otherwise."""
        return self._files.get(name) if digest == self.digest else None

    def find(self, name: str) -> File | None:
        """Return the file with this name, as browsers get it; None: there is none. Blocks."""
        self._refresh()
        return self._files.get(name)

    def source(self, name: str) -> File | None:
        """Return the file with this name, as it is on the disk; None: there is none. Blocks."""
        self._refresh()
        path = self._paths.get(name)
        return file_of(name, path.read_bytes()) if path is not None else None

    def _refresh(self) -> None:
        paths = {
            str(path.relative_to(self._folder)): path
            for path in sorted(self._folder.rglob("*"))
            if path.suffix in _KINDS and path.is_file()
        }
        stats = {name: path.stat() for name, path in paths.items()}
        stamp = [(name, each.st_size, each.st_mtime_ns) for name, each in stats.items()]
        if stamp == self._stamp:
            return
        data = _joined({name: path.read_bytes() for name, path in paths.items()})
        combined = hashlib.sha256()
        for name, content in data.items():
            combined.update(b"%s\0%d\0%s" % (name.encode(), len(content), content))
        self.digest = combined.hexdigest()[:HASH_LENGTH]
        data["index.html"] = _with_hash(data.get("index.html", b""), self.digest)
        self._paths = paths
        self._files = {name: file_of(name, content) for name, content in data.items()}
        self._stamp = stamp


def _joined(data: dict[str, bytes]) -> dict[str, bytes]:
    """Return the files with the modules of the first view in one; unchanged if they cannot be joined."""
    try:
        joined = modules.join({name: content.decode() for name, content in data.items() if name.endswith(".mjs")})
    except (modules.Unjoinable, UnicodeDecodeError) as error:
        log.warning("the modules of the page are served one by one: %s", error)
        return data
    return {**data, **{name: text.encode() for name, text in joined.items()}}


def _with_hash(index: bytes, digest: str) -> bytes:
    """Return index.html with the hash in the addresses that it loads."""
    return re.sub(rb'(?<=")page/(?=[^"])', b"page/%s/" % digest.encode(), index)


@functools.cache
def files() -> Files:
    """Return the shared instance."""
    return Files()
