"""Sends the data of another host to the daemon: by its API, and statistics and keys into its state directory.

The parts are independent: a refused part is reported and does not stop the others. A second run adds what is missing.
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
from daemon.moving.inventory import Inventory, Print, SourceUpload
from gcode.frozen import mutable

LOCK_TIMEOUT_S = 10.0  # while the daemon writes to its database
HISTORY_DELAY_S = 15  # until the history has rows that were added to the database
MIN_KEY = 24  # characters; a shorter key could be guessed, so it is not kept
REASON = "printed by OctoPrint, which does not record why a print ended"

Show = Callable[[int, int], None]
"""Is called with the number of finished uploads, and the total."""


@mutable
class MoveReport:
    """What was imported.

    Attributes:
        uploads: paths of files.
        folders: paths of empty folders.
        there: number of files that were here before.
        prints: number of prints added to the statistics.
        notes: number of files whose notes were added, to their last prints.
        settings: name of another part → its new value.
        keys: name → the new key; "": the old key was kept.
        left: what was not imported, in words.
    """

    uploads: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    there: int = 0
    prints: int = 0
    notes: int = 0
    settings: dict[str, str] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)


async def send(client: OctoPrintClient, found: Inventory, show: Show = lambda _done, _all: None) -> MoveReport:
    """Send uploads and settings to the daemon.

    Raises:
        ClientError: it does not answer, or the key does not allow this.
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


async def _upload(client: OctoPrintClient, upload: SourceUpload, taken: MoveReport) -> None:
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
    """Add the presets one by one, each replacing one of the same name."""
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
    """Report a refusal instead of raising it."""
    try:
        yield
    except RequestRefused as error:
        taken.left.append(f"{what}: {error.text or error}")


async def add_notes(client: OctoPrintClient, notes: dict[str, str], taken: MoveReport) -> None:
    """Add the notes of each file to its last print, once the history has the imported prints.

    Raises:
        ClientError: the daemon does not answer, or the key does not allow this.
    """
    patience = HISTORY_DELAY_S if taken.prints else 0
    for path, text in notes.items():
        while not (jobs := (await client.history.list(path=path, limit="1"))["jobs"]) and patience > 0:
            patience -= 1
            await asyncio.sleep(1.0)
        if not jobs:
            taken.left.append(f"the notes of {path}, which has no print in the history: {text}")
        elif not jobs[0]["notes"]:
            with _noting_refusals(taken, f"the notes of {path}"):
                await client.history.note(jobs[0]["id"], text)
                taken.notes += 1
        elif jobs[0]["notes"] != text:
            taken.left.append(f"the notes of {path}, whose last print has other notes: {text}")


# -- in the state directory ------------------------------------------------------------------------------------------


def add_keys(keyring: Keyring, found: Inventory, taken: MoveReport, *, keep: bool) -> None:
    """Add a key for each name that has none yet; with `keep`, the key that its program has now."""
    for old in found.keys:
        name = old.name[:64]
        if keep and len(old.key) < MIN_KEY:
            taken.left.append(f"the key of {name}, which is too short to be safe")
            continue
        try:
            made = keyring.add(name, Scope.CONTROL, key=old.key if keep else None)
        except (AccessError, ConfigError) as error:
            taken.left.append(f"the key of {name}: {error}")
        else:
            taken.keys[name] = "" if keep else made


def add_prints(database: Path, prints: list[Print], sizes: dict[str, int], taken: MoveReport) -> None:
    """Add earlier prints to the daemon's database, also while it runs.

    Args:
        database: of the daemon.
        prints: the prints to add.
        sizes: path → size of the files here.
        taken: the report.
    """
    if not prints:
        return
    try:
        with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=rw", uri=True, timeout=LOCK_TIMEOUT_S)) as db:
            db.isolation_level = None
            with transaction(db, durable=True):
                rows = list(_new(db, [each for each in prints if each.path in sizes], sizes))
                db.executemany(_INSERT, rows)
        taken.prints = len(rows)
    except sqlite3.Error as error:
        taken.left.append(f"the statistics of {len(prints)} prints: {database}: {error}")
        return
    if gone := sum(each.path not in sizes for each in prints):
        taken.left.append(f"the statistics of {gone} prints whose files no longer exist")


def _new(db: sqlite3.Connection, prints: list[Print], sizes: dict[str, int]) -> Iterator[tuple[object, ...]]:
    """Yield rows for missing prints. They are older than all prints here, so they get lower ids."""
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
