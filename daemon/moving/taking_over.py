"""Gives what was found at another host to the daemon: by its API, and statistics and keys in its state directory.

Each part for itself: what is refused is told, and keeps nothing else from being taken. Doing it again takes what is
not there yet.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import field
from pathlib import Path
from typing import Any

from daemon.client import Conflict, OctoPrintClient, RequestRefused
from daemon.client.errors import FileChanged
from daemon.database import transaction
from daemon.errors import AccessError, ConfigError
from daemon.front.access.keyring import Keyring
from daemon.front.access.scopes import Scope
from daemon.moving.found import FoundUpload, Inventory, Print
from gcode.frozen import mutable

PATIENCE = 10.0  # s that the daemon may write at the same time
SHOWN = 15  # s after which the history has what was written into the record
SHORTEST_KEY = 24  # characters; what is shorter is not kept, as it could be guessed
REASON = "printed by OctoPrint, which does not say why it ended"

Show = Callable[[int, int], None]
"""Is told how many uploads are done, and how many there are."""


@mutable
class MoveReport:
    """What was done.

    Attributes:
        uploads: paths of files.
        folders: those in which there is none of them.
        there: so many files were here before.
        prints: so many that went into the statistics.
        notes: of so many files, at their last prints.
        settings: names of other parts, and what they are now.
        keys: names, and the new key, or "" where it is the old one.
        left: what was not taken, in words.
    """

    uploads: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    there: int = 0
    prints: int = 0
    notes: int = 0
    settings: dict[str, str] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)


async def take(client: OctoPrintClient, found: Inventory, show: Show = lambda _done, _all: None) -> MoveReport:
    """Give uploads and settings to the daemon.

    Raises:
        ClientError: it does not answer, or the key does not allow that.
    """
    taken = MoveReport(left=list(found.left))
    await _settings(client, found, taken)
    for number, upload in enumerate(found.uploads):
        show(number, len(found.uploads))
        await _upload(client, upload, taken)
    show(len(found.uploads), len(found.uploads))
    for folder in found.folders:
        with _noting_refusals(taken, f"the folder {folder}"):
            await client.files.make_folder(folder)
            taken.folders.append(folder)
    return taken


async def _upload(client: OctoPrintClient, upload: FoundUpload, taken: MoveReport) -> None:
    try:
        answer = await client.files.upload(
            upload.file, name=upload.name, folder=upload.folder, overwrite=False, date=upload.date
        )
    except Conflict:
        taken.there += 1
    except RequestRefused as error:
        taken.left.append(f"{upload.path}: {error.text}")
    except FileChanged as error:
        taken.left.append(f"{upload.path}: {error}")
    except OSError as error:
        taken.left.append(f"{upload.path}: {error.strerror}")
    else:
        taken.uploads.append(answer["files"]["local"]["path"])


async def _settings(client: OctoPrintClient, found: Inventory, taken: MoveReport) -> None:
    profile = found.profile
    if profile:
        volume = " x ".join(f"{profile['volume'].get(side, 0):g}" for side in ("width", "depth", "height"))
        name = " / ".join(profile[key] for key in ("name", "model") if key in profile)
        with _noting_refusals(taken, "the printer profile"):
            await client.patch("/api/printerprofiles/_default", {"profile": profile})
            taken.settings["profile"] = f"{name}, {volume} mm"
    if found.name:
        with _noting_refusals(taken, f"the name {found.name}"):
            await client.post("/api/settings", {"appearance": {"name": found.name}})
            taken.settings["name"] = found.name
    if found.webcam:
        with _noting_refusals(taken, "the webcam"):
            await client.post("/api/settings", {"webcam": found.webcam})
            taken.settings["webcam"] = str(found.webcam.get("streamUrl") or found.webcam.get("snapshotUrl", ""))
    if found.presets:
        await _presets(client, found.presets, taken)


async def _presets(client: OctoPrintClient, presets: list[dict[str, Any]], taken: MoveReport) -> None:
    """Put the presets beside those that are there, in the place of one of the same name; one by one if need be."""
    there: list[dict[str, Any]] = (await client.settings()).get("temperature", {}).get("profiles", [])
    names = []
    for each in presets:
        wanted = [old for old in there if str(old["name"]).casefold() != each["name"].casefold()] + [each]
        with _noting_refusals(taken, f"the preset {each['name']}"):
            await client.post("/api/settings", {"temperature": {"profiles": wanted}})
            there = wanted
            names.append(each["name"])
    if names:
        taken.settings["presets"] = ", ".join(names)


@contextmanager
def _noting_refusals(taken: MoveReport, what: str) -> Iterator[None]:
    """Note what a part was refused for, in place of ending all the others."""
    try:
        yield
    except RequestRefused as error:
        taken.left.append(f"{what}: {error.text or error}")


async def take_notes(client: OctoPrintClient, notes: dict[str, str], taken: MoveReport) -> None:
    """Write what was noted of files down with the last print of each, once the history has what was taken.

    Raises:
        ClientError: the daemon does not answer, or the key does not allow that.
    """
    patience = SHOWN if taken.prints else 0
    for path, text in notes.items():
        while not (jobs := (await client.history.list(path=path, limit="1"))["jobs"]) and patience > 0:
            patience -= 1
            await asyncio.sleep(1.0)
        if not jobs:
            taken.left.append(f"the notes of {path}, which has no print in the history to write them to: {text}")
        elif not jobs[0]["notes"]:
            with _noting_refusals(taken, f"the notes of {path}"):
                await client.history.note(jobs[0]["id"], text)
                taken.notes += 1
        elif jobs[0]["notes"] != text:
            taken.left.append(f"the notes of {path}, whose last print has others: {text}")


# -- in the state directory ------------------------------------------------------------------------------------------


def take_keys(keyring: Keyring, found: Inventory, taken: MoveReport, *, keep: bool) -> None:
    """Make a key for each name that has none yet; with `keep` the very one that its program has."""
    for old in found.keys:
        name = old.name[:64]
        if keep and len(old.key) < SHORTEST_KEY:
            taken.left.append(f"the key of {name}, which is so short that it could be guessed")
            continue
        try:
            made = keyring.add(name, Scope.CONTROL, key=old.key if keep else None)
        except (AccessError, ConfigError) as error:
            taken.left.append(f"the key of {name}: {error}")
        else:
            taken.keys[name] = "" if keep else made


def take_prints(database: Path, prints: list[Print], sizes: dict[str, int], taken: MoveReport) -> None:
    """Write down how earlier prints went, in the daemon's own record; it may run meanwhile.

    Args:
        database: of the daemon.
        prints: as they were found.
        sizes: of the files that are here, by path.
        taken: is told.
    """
    if not prints:
        return
    try:
        with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=rw", uri=True, timeout=PATIENCE)) as db:
            db.isolation_level = None
            with transaction(db, durable=True):
                rows = list(_new(db, [each for each in prints if each.path in sizes], sizes))
                db.executemany(_INSERT, rows)
        taken.prints = len(rows)
    except sqlite3.Error as error:
        taken.left.append(f"the statistics of {len(prints)} prints: {database}: {error}")
        return
    if gone := sum(each.path not in sizes for each in prints):
        taken.left.append(f"the statistics of {gone} prints of files that are not there any more")


def _new(db: sqlite3.Connection, prints: list[Print], sizes: dict[str, int]) -> Iterator[tuple[object, ...]]:
    """Yield rows for prints that are not there; they are older than all that are, and so are their numbers."""
    known = set(db.execute("SELECT path, ended_at FROM jobs"))
    new = sorted({each for each in prints if (each.path, each.ended_at) not in known}, key=lambda each: each.ended_at)
    [first] = db.execute("SELECT min(id) FROM jobs").fetchone()
    number = 1 if first is None else first - len(new)
    for each in new:
        outcome = "COMPLETED" if each.success else "FAILED"
        reason = None if each.success else REASON
        name, began = each.path.rpartition("/")[2], each.ended_at - (each.seconds or 0.0)
        yield (
            number, each.path, name, sizes[each.path], each.user, outcome, began, each.ended_at, outcome, reason,
            each.seconds,
        )  # fmt: skip
        number += 1


_INSERT = """
    INSERT INTO jobs (id, path, name, size, mtime_ns, origin, user, printer, state, started_at, ended_at, outcome,
        reason, print_time)
    VALUES (?, ?, ?, ?, 0, 'local', ?, '', ?, ?, ?, ?, ?, ?)
"""
