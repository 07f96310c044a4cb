"""Where the queue is kept: a document in the front's database, on the disk before anything is done by it."""

import sqlite3
from collections.abc import Awaitable, Sequence
from typing import Any, Protocol

import msgspec
import structlog

from daemon.errors import StoreError
from daemon.front.queue.document import Document, Entry
from daemon.set_aside import SUFFIX

NAME = "queue"
MOST_KEYS = 10_000

log = structlog.get_logger()


class QueueTable(Protocol):
    """What is needed of `daemon.front.cache.cache.Cache`."""

    async def query(self, query: str, *values: object) -> list[sqlite3.Row]:
        """Return rows; raises StoreError."""

    def keep(self, *statements: tuple[str, Sequence[Any]]) -> Awaitable[None]:
        """Change something for good, all or nothing; raises StoreError."""


class QueueShelf:
    """The document, and the keys of what was put in."""

    def __init__(self, table: QueueTable) -> None:
        self._table = table

    async def load(self) -> Document:
        """Return the queue as it was left; one that is damaged is set aside.

        Raises:
            StoreError: it cannot be read, or not be set aside.
        """
        rows = await self._table.query(_LOAD, NAME)
        if not rows:
            return Document()
        try:
            return msgspec.json.decode(rows[0]["content"], type=Document)
        except (msgspec.DecodeError, RecursionError, TypeError) as error:
            await self._table.keep((_SET_ASIDE, (f"{NAME}{SUFFIX}", NAME)))
            log.warning(
                "file.damaged",
                path="the queue in front.db",
                reason=str(error),
                consequence="the queue begins anew",
                kept_as=f"{NAME}{SUFFIX} in the table documents of front.db",
            )
            return Document()

    async def save(self, document: Document, keyed: tuple[Entry, str] | None = None) -> None:
        """Keep the queue; `keyed` is an entry that was put in with its key, and the mark of what was asked for.

        Raises:
            StoreError: it cannot be kept.
        """
        statements: list[tuple[str, Sequence[Any]]] = [(_SAVE, (NAME, msgspec.json.encode(document).decode()))]
        if keyed is not None:
            entry, mark = keyed
            statements += [
                (_SAVE_KEY, (entry.key, mark, msgspec.json.encode(entry).decode(), entry.added)),
                (_FORGET_KEYS, (MOST_KEYS,)),
            ]
        await self._table.keep(*statements)

    async def note_print(self, key: str, entry: Entry) -> None:
        """Keep for the history what is known of a print that is about to begin; raises StoreError."""
        await self._table.keep((_NOTE, (key, entry.id, entry.material, entry.notes)))

    async def of_key(self, key: str) -> tuple[Entry, str] | None:
        """Return the entry that was put in with a key, as it was then, and the mark; raises StoreError."""
        rows = await self._table.query(_OF_KEY, key)
        try:
            return (msgspec.json.decode(rows[0]["entry"], type=Entry), rows[0]["mark"]) if rows else None
        except (msgspec.DecodeError, RecursionError, TypeError) as error:
            raise StoreError(f"what was put into the queue with this key is damaged ({error}); take another") from error


_NOTE = "INSERT OR REPLACE INTO queue_prints (key, entry, material, notes) VALUES (?, ?, ?, ?)"
_LOAD = "SELECT CAST(content AS BLOB) AS content FROM documents WHERE name = ?"  # a blob: it may be no text any more
_OF_KEY = "SELECT CAST(entry AS BLOB) AS entry, mark FROM queue_keys WHERE key = ?"
_SET_ASIDE = "UPDATE OR REPLACE documents SET name = ? WHERE name = ?"
_SAVE = "INSERT OR REPLACE INTO documents (name, content) VALUES (?, ?)"
_SAVE_KEY = "INSERT INTO queue_keys (key, mark, entry, added) VALUES (?, ?, ?, ?)"
_FORGET_KEYS = """
    DELETE FROM queue_keys WHERE key IN (SELECT key FROM queue_keys ORDER BY added DESC LIMIT -1 OFFSET ?)
"""
