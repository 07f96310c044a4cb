"""QueueStore: the stored queue: a document in the front's database, written before any of its prints begin."""

import sqlite3
from collections.abc import Awaitable, Sequence
from typing import Any, Protocol

import msgspec
import structlog

from daemon.errors import StoreError
from daemon.front.queue.document import Document, Entry
from daemon.set_aside import SUFFIX

NAME = "queue"
MAX_KEYS = 10_000

log = structlog.get_logger()


class QueueTable(Protocol):
    """The part of `daemon.front.cache.cache.Cache` that is needed here."""

    async def query(self, query: str, *values: object) -> list[sqlite3.Row]:
        """Return rows; raises StoreError."""

    def keep(self, *statements: tuple[str, Sequence[Any]]) -> Awaitable[None]:
        """Carry out all statements or none, durably; raises StoreError."""


class QueueStore:
    """The document, and the idempotency keys of added entries."""

    def __init__(self, table: QueueTable) -> None:
        self._table = table

    async def load(self) -> Document:
        """Load the queue; a damaged one is set aside.

        Raises:
            StoreError: it cannot be read or set aside.
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
                consequence="the queue starts empty",
                kept_as=f"{NAME}{SUFFIX} in the table documents of front.db",
            )
            return Document()

    async def save(self, document: Document, keyed: tuple[Entry, str] | None = None) -> None:
        """Store the queue; `keyed` is an entry that was added with its key, and the mark of the request.

        Raises:
            StoreError: it cannot be stored.
        """
        statements: list[tuple[str, Sequence[Any]]] = [(_SAVE, (NAME, msgspec.json.encode(document).decode()))]
        if keyed is not None:
            entry, mark = keyed
            statements += [
                (_SAVE_KEY, (entry.key, mark, msgspec.json.encode(entry).decode(), entry.added)),
                (_FORGET_KEYS, (MAX_KEYS,)),
            ]
        await self._table.keep(*statements)

    async def note_print(self, key: str, entry: Entry) -> None:
        """Store an entry's notes and material for the history of its print; raises StoreError."""
        await self._table.keep((_NOTE, (key, entry.id, entry.material, entry.notes)))

    async def of_key(self, key: str) -> tuple[Entry, str] | None:
        """Return the entry that a key added, as it was added, and the request's mark; raises StoreError."""
        rows = await self._table.query(_OF_KEY, key)
        try:
            return (msgspec.json.decode(rows[0]["entry"], type=Entry), rows[0]["mark"]) if rows else None
        except (msgspec.DecodeError, RecursionError, TypeError) as error:
            raise StoreError(f"the entry of this idempotency key is damaged ({error}): use another key") from error


_NOTE = "INSERT OR REPLACE INTO queue_prints (key, entry, material, notes) VALUES (?, ?, ?, ?)"
_LOAD = "SELECT CAST(content AS BLOB) AS content FROM documents WHERE name = ?"  # a blob: perhaps not text
_OF_KEY = "SELECT CAST(entry AS BLOB) AS entry, mark FROM queue_keys WHERE key = ?"
_SET_ASIDE = "UPDATE OR REPLACE documents SET name = ? WHERE name = ?"
_SAVE = "INSERT OR REPLACE INTO documents (name, content) VALUES (?, ?)"
_SAVE_KEY = "INSERT INTO queue_keys (key, mark, entry, added) VALUES (?, ?, ?, ?)"
_FORGET_KEYS = """
    DELETE FROM queue_keys WHERE key IN (SELECT key FROM queue_keys ORDER BY added DESC LIMIT -1 OFFSET ?)
"""
