"""The files of the page, as browsers get them: with their hash, compressed, the modules of the first view in one."""

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
"""What is served; other files, and those in hidden folders, are not."""


@frozen
class File:
    """A file of the page.

    Attributes:
        kind: its content type.
        data: what is in it.
        packed: the same, by gzip; empty where that is not worth it.
        digest: of the data.
    """

    kind: str
    data: bytes
    packed: bytes
    digest: str


def file_of(name: str, data: bytes) -> File:
    """Return a file as it is kept. Computes for some ms where it is large."""
    packed = gzip.compress(data, 9, mtime=0) if len(data) > compression.SMALL and not name.endswith(".png") else b""
    return File(_KINDS[Path(name).suffix], data, packed, hashlib.sha256(data).hexdigest()[:HASH_LENGTH])


class Files:
    """The files, read again when one of them has changed: who works on the page only reloads it."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._folder = folder
        self._stamp: object = None
        self._files: dict[str, File] = {}
        self._paths: dict[str, Path] = {}
        self.digest = ""

    def find_version(self, name: str, digest: str) -> File | None:
        """Return the file of this name, as it was when all of them had this hash; None: that is not known."""
        return self._files.get(name) if digest == self.digest else None

    def find(self, name: str) -> File | None:
        """Return the file of this name, as browsers get it; None: there is none. Blocks."""
        self._look()
        return self._files.get(name)

    def source(self, name: str) -> File | None:
        """Return the file of this name, as it lies on the disk; None: there is none. Blocks."""
        self._look()
        path = self._paths.get(name)
        return file_of(name, path.read_bytes()) if path is not None else None

    def _look(self) -> None:
        found = {
            str(path.relative_to(self._folder)): path
            for path in sorted(self._folder.rglob("*"))
            if path.suffix in _KINDS and path.is_file()
        }
        stats = {name: path.stat() for name, path in found.items()}
        stamp = [(name, each.st_size, each.st_mtime_ns) for name, each in stats.items()]
        if stamp == self._stamp:
            return
        data = _joined({name: path.read_bytes() for name, path in found.items()})
        all_of_it = hashlib.sha256()
        for name, content in data.items():
            all_of_it.update(b"%s\0%d\0%s" % (name.encode(), len(content), content))
        self.digest = all_of_it.hexdigest()[:HASH_LENGTH]
        data["index.html"] = _with_hash(data.get("index.html", b""), self.digest)
        self._paths = found
        self._files = {name: file_of(name, content) for name, content in data.items()}
        self._stamp = stamp


def _joined(data: dict[str, bytes]) -> dict[str, bytes]:
    """Return the files with the modules of the first view in one, or as they are where that cannot be."""
    try:
        made = modules.joined({name: content.decode() for name, content in data.items() if name.endswith(".mjs")})
    except (modules.Unjoinable, UnicodeDecodeError) as error:
        log.warning("the modules of the page are served one by one: %s", error)
        return data
    return {**data, **{name: text.encode() for name, text in made.items()}}


def _with_hash(index: bytes, digest: str) -> bytes:
    """Return index.html with the hash in the addresses of what it loads."""
    return re.sub(rb'(?<=")page/(?=[^"])', b"page/%s/" % digest.encode(), index)


@functools.cache
def files() -> Files:
    """Return the one that all share."""
    return Files()
