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
from daemon.moving.inventory import EarlierPrint, Inventory, SourceUpload, count_of
from gcode.frozen import mutable

LOCK_TIMEOUT = 10.0  # for the daemon's own writes to its database
HISTORY_DELAY = 15  # until the history has copied prints that were added to the database
MIN_KEY = 24  # characters; a shorter key is not imported, because it could be guessed
REASON = "printed by OctoPrint, which does not record why a print ended"

ShowProgress = Callable[[int, int], None]
"""Called with the number of finished uploads, and the total."""


@mutable
class MoveReport:
    """What was imported.

    Attributes:
        uploads: paths of files.
        folders: paths of empty folders.
        existing_count: number of files that were here before.
        prints: number of prints added to the statistics.
        notes: number of files whose notes were added to their last prints.
        settings: name of another part → its new value.
        keys: name → the new key; "": the old key was kept.
        not_imported: what was not imported, in words.
    """

    uploads: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    existing_count: int = 0
    prints: int = 0
    notes: int = 0
    settings: dict[str, str] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    not_imported: list[str] = field(default_factory=list)


async def send(
    client: OctoPrintClient, inventory: Inventory, show: ShowProgress = lambda _done, _all: None
) -> MoveReport:
    """Send uploads and settings to the daemon.

    Raises:
        ClientError: it does not answer, or the key does not allow this.
    """
    report = MoveReport(not_imported=list(inventory.not_imported))
    await _send_settings(client, inventory, report)
    for number, upload in enumerate(inventory.uploads):
        show(number, len(inventory.uploads))
        await _send_upload(client, upload, report)
    show(len(inventory.uploads), len(inventory.uploads))
    for folder in inventory.folders:
        with _note_refusals(report, f"the folder {folder}"):
            await client.files.make_folder(folder)
            report.folders.append(folder)
    return report


async def _send_upload(client: OctoPrintClient, upload: SourceUpload, report: MoveReport) -> None:
    try:
        answer = await client.files.upload(
            upload.file, name=upload.name, folder=upload.folder, overwrite=False, date=upload.date
        )
    except Conflict:
        report.existing_count += 1
    except RequestRefused as error:
        report.not_imported.append(f"{upload.path}: {error.text}")
    except FileChanged as error:
        report.not_imported.append(f"{upload.path}: {error}")
    except OSError as error:
        report.not_imported.append(f"{upload.path}: {error.strerror}")
    else:
        report.uploads.append(answer["files"]["local"]["path"])


async def _send_settings(client: OctoPrintClient, inventory: Inventory, report: MoveReport) -> None:
    profile = inventory.profile
    if profile:
        volume = " x ".join(f"{profile['volume'].get(side, 0):g}" for side in ("width", "depth", "height"))
        name = " / ".join(profile[key] for key in ("name", "model") if key in profile)
        with _note_refusals(report, "the printer profile"):
            await client.patch("/api/printerprofiles/_default", {"profile": profile})
            report.settings["profile"] = f"{name}, {volume} mm"
    if inventory.name:
        with _note_refusals(report, f"the name {inventory.name}"):
            await client.post("/api/settings", {"appearance": {"name": inventory.name}})
            report.settings["name"] = inventory.name
    if inventory.webcam:
        with _note_refusals(report, "the webcam"):
            await client.post("/api/settings", {"webcam": inventory.webcam})
            report.settings["webcam"] = str(
                inventory.webcam.get("streamUrl") or inventory.webcam.get("snapshotUrl", "")
            )
    if inventory.presets:
        await _send_presets(client, inventory.presets, report)


async def _send_presets(client: OctoPrintClient, presets: list[dict[str, Any]], report: MoveReport) -> None:
    """Add the presets one by one, each replacing one of the same name."""
    existing: list[dict[str, Any]] = (await client.settings()).get("temperature", {}).get("profiles", [])
    names = []
    for each in presets:
        replaced = [old for old in existing if str(old["name"]).casefold() != each["name"].casefold()] + [each]
        with _note_refusals(report, f"the preset {each['name']}"):
            await client.post("/api/settings", {"temperature": {"profiles": replaced}})
            existing = replaced
            names.append(each["name"])
    if names:
        report.settings["presets"] = ", ".join(names)


@contextmanager
def _note_refusals(report: MoveReport, what: str) -> Iterator[None]:
    """Report a refusal instead of raising it."""
    try:
        yield
    except RequestRefused as error:
        report.not_imported.append(f"{what}: {error.text or error}")


async def add_notes(client: OctoPrintClient, notes: dict[str, str], report: MoveReport) -> None:
    """Add the notes of each file to its last print, once the history has the imported prints.

    Raises:
        ClientError: the daemon does not answer, or the key does not allow this.
    """
    retries = HISTORY_DELAY if report.prints else 0
    for path, text in notes.items():
        while not (jobs := (await client.history.list(path=path, limit="1"))["jobs"]) and retries > 0:
            retries -= 1
            await asyncio.sleep(1.0)
        if not jobs:
            report.not_imported.append(f"the notes of {path}, which has no print in the history: {text}")
        elif not jobs[0]["notes"]:
            with _note_refusals(report, f"the notes of {path}"):
                await client.history.note(jobs[0]["id"], text)
                report.notes += 1
        elif jobs[0]["notes"] != text:
            report.not_imported.append(f"the notes of {path}, whose last print has other notes: {text}")


# -- in the state directory ------------------------------------------------------------------------------------------


def add_keys(keyring: Keyring, inventory: Inventory, report: MoveReport, *, keep: bool) -> None:
    """Add a key for each name that has none yet: a new one, or with `keep`, the one that its program has now."""
    for old in inventory.keys:
        name = old.name[:64]
        if keep and len(old.key) < MIN_KEY:
            report.not_imported.append(f"the key of {name}, which is too short to be safe")
            continue
        try:
            key = keyring.add(name, Scope.CONTROL, key=old.key if keep else None)
        except (AccessError, ConfigError) as error:
            report.not_imported.append(f"the key of {name}: {error}")
        else:
            report.keys[name] = "" if keep else key


def add_prints(database: Path, prints: list[EarlierPrint], sizes: dict[str, int], report: MoveReport) -> None:
    """Add earlier prints to the daemon's database, even while the daemon runs.

    Args:
        database: of the daemon.
        prints: the prints to add.
        sizes: path → size of the files here.
        report: the report.
    """
    if not prints:
        return
    try:
        with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=rw", uri=True, timeout=LOCK_TIMEOUT)) as db:
            db.isolation_level = None
            with transaction(db, durable=True):
                rows = list(_rows_to_add(db, [each for each in prints if each.path in sizes], sizes))
                db.executemany(_INSERT, rows)
        report.prints = len(rows)
    except sqlite3.Error as error:
        what = f"the statistics of {count_of(len(prints), 'print')}"
        report.not_imported.append(f"{what}, as {database} cannot be written: {error}")
        return
    if missing := sum(each.path not in sizes for each in prints):
        report.not_imported.append(f"the statistics of {count_of(missing, 'print')} whose files no longer exist")


def _rows_to_add(
    db: sqlite3.Connection, prints: list[EarlierPrint], sizes: dict[str, int]
) -> Iterator[tuple[object, ...]]:
    """Yield rows for prints that are missing here. They are older than all prints here, so they get lower ids."""
    existing = set(db.execute("SELECT path, ended_at FROM jobs"))
    new = sorted(
        {each for each in prints if (each.path, each.ended_at) not in existing}, key=lambda each: each.ended_at
    )
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
