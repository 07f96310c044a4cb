"""Listing: the files of a folder as clients see them, rendered in a thread, and once for all equal requests.

The tag of an answer is computed first, from one walk through the folder and the revisions of everything else in it. A
client that has this answer already gets 304, and nothing is rendered.
"""

import asyncio
import hashlib
import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from daemon.bridge.words import FileStatistics
from daemon.front.access.access import OWNER
from daemon.front.analysis.findings import Brief
from daemon.front.analysis.store import FileKey
from daemon.front.uploads.hashes import Hashes
from daemon.front.uploads.tree import TreeEntry
from daemon.front.views.analysis import key_of, of_brief
from gcode.errors import NozzledError
from gcode.frozen import frozen

if TYPE_CHECKING:
    from daemon.front.front import Front

MAX_CACHED = 4 * 1024 * 1024  # bytes of an answer that is stored for the next request


@frozen
class FolderFacts:
    """Data about the files of a folder that is not stored in the folder itself."""

    hashes: Hashes = field(default_factory=dict)
    analyses: Mapping[FileKey, Brief] = field(default_factory=dict)
    prints: Mapping[str, FileStatistics] = field(default_factory=dict)


class Listing:
    """The lists of one front."""

    def __init__(self, service: "Front") -> None:
        self._service = service
        self._run = secrets.token_hex(8)  # revisions count from the start of this process
        self._render_lock = asyncio.Lock()
        self._rendered: tuple[str, bytes] = ("", b"")
        self._prints: tuple[int, Mapping[str, FileStatistics]] | None = None  # with `core.records` when they were read
        self._gaps = 0  # incomplete answers, which must not be reused

    def tag(self, tree: str, base: str) -> str:
        """Return the tag of an answer, for a folder's `signature` and the base of its URLs."""
        service = self._service
        revisions = (service.files.revision, service.analyses.revision, service.core.records, self._gaps)
        return hashlib.sha1(f"{self._run} {tree} {base} {revisions}".encode(), usedforsecurity=False).hexdigest()

    async def render(self, entry: TreeEntry, tag: str, base: str, *, whole: bool = True) -> bytes:
        """Return a folder as JSON (`whole`), or only its entries."""
        async with self._render_lock:
            cached_tag, rendered = self._rendered
            if cached_tag == tag:
                return rendered
            rendered = await asyncio.to_thread(_render, entry, await self._facts(entry), base, whole)
            self._rendered = (tag, rendered) if len(rendered) <= MAX_CACHED else ("", b"")
            return rendered

    async def _facts(self, entry: TreeEntry) -> FolderFacts:
        service = self._service
        keys = [key_of(each) for each in _files(entry)]
        if not keys:  # only folders, which have no further data
            return FolderFacts()
        hashes = await service.files.hashes(entry.path)
        analyses = await service.analyses.briefs(entry.path, keys)
        return FolderFacts(hashes, analyses, await self._all_statistics())

    async def _all_statistics(self) -> Mapping[str, FileStatistics]:
        """Return the statistics of all files, read once after each print; empty if the record cannot be read."""
        records = self._service.core.records
        if self._prints is not None:
            read_at, prints = self._prints
            if read_at == records:
                return prints
        try:
            prints = await self._service.jobs.histories()
        except NozzledError:
            self._gaps += 1
            return {}
        self._prints = (records, prints)
        return prints


def _files(entry: TreeEntry) -> Iterator[TreeEntry]:
    if entry.type != "folder":
        yield entry
    for child in entry.children:
        yield from _files(child)


def _render(entry: TreeEntry, facts: FolderFacts, base: str, whole: bool) -> bytes:
    described: Any = _describe(entry, facts, base)
    described = described if whole else described["children"]
    try:
        return msgspec.json.encode(described)
    except UnicodeEncodeError:  # a file's metadata may have lone surrogates
        return json.dumps(described).encode()


def _describe(entry: TreeEntry, facts: FolderFacts, base: str) -> dict[str, Any]:
    shown = of_entry(entry, base)
    if entry.type == "folder":
        shown["children"] = [_describe(child, facts, base) for child in entry.children]
        return shown
    shown["hash"] = facts.hashes.get((entry.path, entry.size, entry.mtime_ns))
    shown.update(of_brief(facts.analyses.get(key_of(entry)), entry.path))
    shown.update(of_prints(facts.prints.get(entry.path)))
    return shown


def of_entry(entry: TreeEntry, base: str) -> dict[str, Any]:
    """Return the fields of a file or folder that need no further data."""
    return {
        "name": entry.name,
        "display": entry.name,
        "path": entry.path,
        "type": entry.type,
        "typePath": ["folder"] if entry.type == "folder" else ["machinecode", "gcode"],
        "size": entry.size,
        "date": entry.date,
        "origin": "local",
        "user": OWNER,
        "refs": refs(entry, base),
    }


def refs(entry: TreeEntry, base: str) -> dict[str, str]:
    """Return the URLs of a file or folder."""
    path = quote(entry.path)
    shown = {"resource": f"{base}/api/files/local/{path}"}
    if entry.type != "folder":
        shown["download"] = f"{base}/downloads/files/local/{path}"
    return shown


def of_prints(statistics: FileStatistics | None) -> dict[str, Any]:
    """Return statistics about the prints of a file; empty if there were none."""
    if statistics is None or statistics.last is None:
        return {}
    last = {
        "date": statistics.last.date,
        "success": statistics.last.success,
        "printTime": statistics.last.print_time,
        "outcome": statistics.last.state.lower() or None,
    }
    average = {} if statistics.average_print_time is None else {"_default": statistics.average_print_time}
    return {
        "prints": {"success": statistics.success, "failure": statistics.failure, "last": last},
        "statistics": {"averagePrintTime": average, "lastPrintTime": {"_default": statistics.last.print_time}},
    }
