"""/api/queue: files that wait to be printed."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from daemon.errors import NoSuchFile
from daemon.front.access.access import OWNER
from daemon.front.http.base import ApiHandler, is_true
from daemon.front.http.idempotency import keyed_request
from daemon.front.queue.changes import entry_as_json
from daemon.front.queue.document import (
    MAX_COPIES,
    MAX_ENTRIES,
    MAX_MATERIAL_LENGTH,
    MAX_NOTES_LENGTH,
    WAITING,
    Document,
    Entry,
)
from daemon.front.uploads.filenames import check_path
from daemon.http.errors import Refused

_COMMANDS: dict[str, tuple[str, ...]] = {
    "add": ("path",),
    "move": ("id", "to"),
    "change": ("id",),
    "remove": ("id",),
    "retry": ("id",),
    "clear": (),
    "bed": ("clear",),
    "pause": (),
    "resume": (),
}
_MAX_WHOLE = 2**53
_MAX_DIGITS = 15


class QueueingHandler(ApiHandler):
    """Base of the handlers that add files to the queue."""

    @property
    def user(self) -> str:
        """The name of the key that the request came with."""
        return self.identity.name if self.identity is not None else OWNER

    async def add(self, data: dict[str, Any], what: str) -> None:
        """Add a file, and answer with its entry."""
        if not isinstance(data["path"], str) or not data["path"].strip("/"):
            raise Refused(400, "path must be the path of an uploaded file")
        path = "/".join(check_path(data["path"].strip("/")))
        keyed = keyed_request(self, data, what)
        values = _entry_fields(data)
        file = await self.service.files.info(path)
        if file.type == "folder":
            raise NoSuchFile(f"{path} is a folder")
        entry = Entry(0, path, file.name, self.service.wall(), user=self.user, key=keyed.key if keyed else None)
        for name, value in values.items():
            setattr(entry, name, value)
        first = data.get("front", False) is True
        entry, again = await self.service.queue.add(entry, front=first, mark=keyed.mark if keyed else "")
        self.set_status(201)
        self.set_header("Nozzled-Entry", str(entry.id))
        if again:
            self.set_header("Idempotent-Replayed", "true")
        self.write(entry_as_json(entry))


class QueueHandler(QueueingHandler):
    """/api/queue."""

    async def get(self) -> None:
        """Show the whole queue."""
        queue = self.service.queue
        document = await queue.load()
        bed = queue.bed
        self.write(
            {
                "revision": document.revision,
                "paused": document.paused,
                "bed": {"clear": bed.clear, "by": bed.by, "at": bed.at},
                "waiting": queue.reason_to_wait(),
                "entries": [entry_as_json(entry) for entry in document.entries],
            }
        )
        await self.compress()

    async def post(self) -> None:
        """Change the queue; all commands but `add` answer with the whole queue."""
        command, data = self.command(_COMMANDS)
        if command == "add":
            await self.add(data, "queue")
            return
        actions: dict[str, Callable[[dict[str, Any]], Awaitable[Any]]] = {
            "move": lambda data: self._change(partial(_move, number=_id(data), to=_whole(data, "to", 0, _MAX_WHOLE))),
            "change": lambda data: self._change(partial(_alter, number=_id(data), values=_entry_fields(data))),
            "remove": lambda data: self._change(lambda draft: draft.remove(_id(data))),
            "retry": lambda data: self._change(lambda draft: draft.retry(_id(data))),
            "clear": lambda _: self._change(Document.clear),
            "bed": self._bed,
            "pause": lambda _: self._change(partial(_set_paused, paused=True)),
            "resume": lambda _: self._change(partial(_set_paused, paused=False)),
        }
        await actions[command](data)
        await self.get()

    async def _change(self, work: Callable[[Document], Any]) -> None:
        await self.service.queue.change(work)

    async def _bed(self, data: dict[str, Any]) -> None:
        if not isinstance(data["clear"], bool):
            raise Refused(400, "clear must be true or false")
        await self.service.queue.set_bed(clear=data["clear"], by=self.user)


class QueueEntryHandler(ApiHandler):
    """/api/queue/<id>."""

    async def get(self, number: str) -> None:
        """Show an entry."""
        self.write(entry_as_json((await self.service.queue.load()).entry(_number(number))))

    async def delete(self, number: str) -> None:
        """Remove an entry."""
        await self.service.queue.change(lambda draft: draft.remove(_number(number)))
        self.no_content()


def _number(text: str) -> int:
    """Return the number of an entry; 0, which no entry has, for one that is too long."""
    return int(text) if len(text) <= _MAX_DIGITS else 0


def _entry_fields(data: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of an entry that a request sets."""
    fields: dict[str, Any] = {}
    if "copies" in data:
        fields["copies"] = _whole(data, "copies", 1, MAX_COPIES)
    if "notes" in data:
        fields["notes"] = _text(data, "notes", MAX_NOTES_LENGTH)
    if "material" in data:
        fields["material"] = _text(data, "material", MAX_MATERIAL_LENGTH) if data["material"] is not None else None
    if "force" in data:
        fields["force"] = is_true(data["force"])
    return fields


def _whole(data: dict[str, Any], name: str, low: int, high: int) -> int:
    value = data[name]
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise Refused(400, f"{name} must be a whole number from {low} to {high}")
    return value


def _id(data: dict[str, Any]) -> int:
    return _whole(data, "id", 1, _MAX_WHOLE)


def _text(data: dict[str, Any], name: str, max_length: int) -> str:
    value = data[name]
    if not isinstance(value, str) or len(value) > max_length or (not value.isascii() and not is_unicode(value)):
        raise Refused(400, f"{name} must be a string of at most {max_length} characters")
    return value


def is_unicode(text: str) -> bool:
    """Tell whether a text has no lone surrogates, which JSON can express."""
    return not any("\ud800" <= char <= "\udfff" for char in text)


def _move(draft: Document, number: int, to: int) -> None:
    draft.move(number, min(to, MAX_ENTRIES))


def _alter(draft: Document, number: int, values: dict[str, Any]) -> None:
    entry = draft.entry(number)
    for name, value in values.items():
        setattr(entry, name, value)
    if entry.copies <= entry.done:
        raise Refused(
            409, f"copies must be more than {entry.done}, the number already printed; to end the entry, remove it"
        )
    if values.get("force") and entry.state == "refused":
        entry.state, entry.reason = WAITING, None


def _set_paused(draft: Document, paused: bool) -> None:
    draft.paused = paused
