"""What users may do: submit, edit, move, hold, cancel, print again. `job_list` has the theory of operation."""

import hashlib
import json
import math
import re
import uuid
from typing import Any

import msgspec
import sqlalchemy as sa

from daemon.farm.errors import BadWish, FarmConflict, StaleRevision, UnknownFile, WishReused
from daemon.farm.list import handing, old_files, rows
from daemon.farm.list.database import Transaction
from daemon.farm.list.matching import folded, materials
from daemon.farm.list.schema import FOREVER, copies, declines, files, jobs, kinds
from daemon.farm.list.words import BEGUN, FINAL, FarmCopy, FarmJob, FileFacts, JobChanges, JobWish
from daemon.farm.messages import PRINTER_ID

MAX_COPIES = 1000
MAX_PRIORITY = 1000
MAX_PRINTERS = 200
MAX_NAME = 255
MAX_WORD = 64
MAX_NOTES = 4000
MAX_NOZZLE = 10.0
MAX_DUE = 4e9
"""Bounds of a job's wishes: characters, mm, and a date in s since 1970."""

MIN_GAP = 1e-6
"""Between two positions; before they become closer, they are numbered again."""

P = sa.bindparam


# -- files -------------------------------------------------------------------------------------------------


def put_file(tx: Transaction, facts: FileFacts) -> None:
    """Store the facts about a file; new jobs use the newest."""
    text = msgspec.json.encode(facts).decode()
    values = {"size": facts.size, "name": facts.name, "at": tx.now, "facts": text}
    if not tx.write(sa.update(files).where(files.c.sha256 == facts.sha256).values(**values)):
        tx.write(sa.insert(files).values(sha256=facts.sha256, **values))


def get_file(tx: Transaction, sha256: str) -> FileFacts:
    """Return the facts about a file.

    Raises:
        UnknownFile: the file is not stored here.
    """
    here = (files.c.sha256 == P("sha256"), files.c.at > old_files.FORGOTTEN)
    row = tx.row(sa.select(files.c.facts).where(*here), sha256=sha256)
    if row is None:
        raise UnknownFile(f"no file with the SHA-256 {sha256[:64]} is stored here: upload it")
    return msgspec.json.decode(row.facts, type=FileFacts)


# -- a new job ---------------------------------------------------------------------------------------------


def add(tx: Transaction, wish: JobWish) -> tuple[FarmJob, bool]:
    """Make a job; return it, and whether it is new: the same id or key again returns the same job.

    Raises:
        BadWish: a value is out of its bounds.
        UnknownFile: its file is not stored here.
        WishReused: the key was used for another job.
    """
    if (known := _known(tx, wish)) is not None:
        return known, False
    facts = get_file(tx, wish.sha256)
    job_id, number = wish.id or str(uuid.uuid4()), tx.next("job")
    values = _checked(
        {
            "name": wish.name or facts.name,
            "material": facts.material if wish.material is None else wish.material,
            "colour": wish.colour,
            "nozzle_mm": facts.nozzle_mm if wish.nozzle_mm is None else wish.nozzle_mm,
            "group": wish.group,
            "printers": wish.printers,
            "priority": wish.priority,
            "due": wish.due,
            "notes": wish.notes,
        }
    )
    _check_copies(wish.copies)
    row = {
        **_columns(values),
        "id": job_id,
        "number": number,
        "idempotency_key": wish.key or None,
        "fingerprint": _fingerprint(wish),
        "sha256": wish.sha256,
        "created": tx.now,
        "created_by": wish.by,
        "revision": 1,
        "position": float(number),
        "held": int(wish.held),
        "held_by": wish.by if wish.held else "",
        "held_at": tx.now if wish.held else None,
        "site": "",
        "extent": json.dumps(facts.extent) if facts.extent else "",
        "hottest": facts.hottest,
        "size": facts.size,
        "seconds": facts.seconds,
        "filament_mm": facts.filament_mm,
        "waiting": 0,
        "unfinished": 0,
        "queued": 0,
    }
    row["kind"] = _kind(tx, row)
    tx.write(sa.insert(jobs).values(**row))
    _add_copies(tx, job_id, 1, wish.copies)
    rows.recount(tx, [job_id])
    tx.event(wish.by, "submitted", job=job_id, text=f"{wish.copies} x {values['name']}")
    return rows.get_job(tx, job_id), True


def _known(tx: Transaction, wish: JobWish) -> FarmJob | None:
    """Return the job that the same wish has made before, None where there is none."""
    if wish.id:
        try:
            wanted = str(uuid.UUID(wish.id))
        except ValueError:
            raise BadWish(f"the id of a job must be a UUID, not {wish.id[:64]!r}") from None
        if wanted != wish.id:
            raise BadWish(f"the id of a job is written as {wanted}, not as {wish.id[:64]!r}")
        same = tx.row(sa.select(jobs).where(jobs.c.id == P("id")), id=wish.id)
        if same is not None:
            return rows.values(tx, [same])[0]
    if not wish.key:
        return None
    row = tx.row(sa.select(jobs).where(jobs.c.idempotency_key == P("key")), key=wish.key)
    if row is None:
        return None
    if row.fingerprint != _fingerprint(wish):
        raise WishReused(f"this idempotency key has made job {row.number}, which asks for something else")
    return rows.values(tx, [row])[0]


def _fingerprint(wish: JobWish) -> str:
    return hashlib.sha256(msgspec.json.encode(msgspec.structs.replace(wish, by=""))).hexdigest()


def _add_copies(tx: Transaction, job: str, first: int, count: int, parent: str = "") -> None:
    tx.write_many(
        sa.insert(copies),
        [
            {
                "id": rows.copy_id(job, number),
                "job": job,
                "number": number,
                "parent": parent,
                "state": "waiting",
                "printer": "",
                "attempt": 0,
                "nonce": "",
                "lease_until": 0.0,
                "wish": "",
                "faults": 0,
                "reason": "",
                "since": tx.now,
                "begun": None,
                "ended": None,
                "seconds": 0.0,
                "filament_mm": 0.0,
            }
            for number in range(first, first + count)
        ],
    )


def _kind(tx: Transaction, job: dict[str, Any]) -> int:
    """Return the id of the kind of a job's row; a new kind is added."""
    wanted = {
        "material": ";".join(materials(job["material"])),
        "colour": folded(job["colour"]),
        "nozzle_mm": job["nozzle_mm"],
        "printer_group": folded(job["printer_group"]),
    }
    row = tx.row(sa.select(kinds.c.id).where(*(kinds.c[name] == value for name, value in wanted.items())))
    if row is not None:
        known: int = row.id
        return known
    number = tx.next("kind")
    tx.write(sa.insert(kinds).values(id=number, **wanted))
    return number


def _checked(values: dict[str, Any]) -> dict[str, Any]:
    """Return the wishes, trimmed.

    Raises:
        BadWish: one is out of its bounds.
    """
    checked = dict(values)
    for name, longest in (("name", MAX_NAME), ("material", MAX_WORD), ("colour", MAX_WORD), ("group", MAX_WORD)):
        if name in checked:
            checked[name] = _text(name, checked[name].strip(), longest)
    if not checked.get("name", "-"):
        raise BadWish("a job needs a name")
    if "notes" in checked:
        checked["notes"] = _text("notes", checked["notes"], MAX_NOTES, allowed="\n\r\t")
    if "printers" in checked:
        checked["printers"] = _printers(checked["printers"])
    _check_numbers(checked)
    return checked


def _check_numbers(values: dict[str, Any]) -> None:
    """Check the bounds of numbers; raises BadWish."""
    nozzle, priority, due = values.get("nozzle_mm", 0.0), values.get("priority", 0), values.get("due")
    if not 0 <= nozzle <= MAX_NOZZLE:
        raise BadWish(f"nozzle_mm must be from 0 (any) to {MAX_NOZZLE:g} mm, not {nozzle:g}")
    if abs(priority) > MAX_PRIORITY:
        raise BadWish(f"priority must be from -{MAX_PRIORITY} to {MAX_PRIORITY}, not {priority}")
    if due is not None and not (math.isfinite(due) and 0 < due < MAX_DUE):
        raise BadWish("due must be a date in seconds since 1970")


def _printers(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return each name once; raises BadWish."""
    if len(names) > MAX_PRINTERS:
        raise BadWish(f"a job can name at most {MAX_PRINTERS} printers: use a group")
    for each in names:
        if not re.fullmatch(PRINTER_ID, each):
            raise BadWish(f"{each[:64]!r} is not a printer's name: use 1 to 32 characters of a-z, 0-9 and -")
    return tuple(dict.fromkeys(names))


def _text(name: str, text: str, longest: int, allowed: str = "") -> str:
    if len(text) > longest:
        raise BadWish(f"{name} has {len(text)} characters: at most {longest} are allowed")
    if not all(character.isprintable() or character in allowed for character in text):
        raise BadWish(f"{name} contains characters that cannot be shown")
    return text


def _check_copies(count: int) -> None:
    if not 1 <= count <= MAX_COPIES:
        raise BadWish(f"copies must be from 1 to {MAX_COPIES}, not {count}")


def _columns(values: dict[str, Any]) -> dict[str, Any]:
    """Return wishes as columns of the table."""
    columns = {name: value for name, value in values.items() if name not in ("group", "printers", "due")}
    if "group" in values:
        columns["printer_group"] = values["group"]
    if "printers" in values:
        columns["printers"] = json.dumps(values["printers"])
    if "due" in values:
        columns["due"] = FOREVER if values["due"] is None else values["due"]
    return columns


# -- changes -----------------------------------------------------------------------------------------------


def edit(tx: Transaction, asked: str, changes: JobChanges, revision: int | None, by: str) -> FarmJob:
    """Change a job's wishes; offers of it are taken back, copies that have begun stay.

    Raises:
        StaleRevision: the job has another revision.
        BadWish: a value is out of its bounds.
        FarmConflict: more copies have begun than the new number.
    """
    row = rows.find_job(tx, asked)
    job = row.id
    _check_site(row)
    if revision is not None and row.revision != revision:
        raise StaleRevision(
            f"job {row.number} has been changed meanwhile: it has revision {row.revision}, not {revision}"
        )
    wanted = {name: value for name, value in msgspec.structs.asdict(changes).items() if value is not msgspec.UNSET}
    count = wanted.pop("copies", None)
    columns = _columns(_checked(wanted))
    if count is not None:
        _check_copies(count)
        _set_copies(tx, row, count)
    kind = _kind(tx, {**row._mapping, **columns})  # noqa: SLF001 - SQLAlchemy's public name for it
    raised = sa.update(jobs).where(jobs.c.id == job, jobs.c.revision == row.revision)
    tx.write(raised.values(**columns, kind=kind, revision=row.revision + 1))
    tx.write(sa.delete(declines).where(declines.c.job == job))
    _withdraw(tx, job)
    rows.recount(tx, [job])
    tx.event(by, "edited", job=job, text=", ".join([*sorted(wanted), *(["copies"] if count is not None else [])]))
    return rows.get_job(tx, job)


def _set_copies(tx: Transaction, row: Any, count: int) -> None:
    """Add copies, or cancel the last ones that have not begun."""
    mine = [rows.copy_of(each) for each in tx.rows(sa.select(copies).where(copies.c.job == row.id))]
    counted = [each for each in mine if each.state != "cancelled"]
    if count >= len(counted):
        _add_copies(tx, row.id, max(each.number for each in mine) + 1, count - len(counted))
        return
    free = sorted((each for each in counted if each.state in ("waiting", "offered")), key=lambda each: -each.number)
    if len(free) < len(counted) - count:
        begun = len(counted) - len(free)
        raise FarmConflict(f"{begun} copies of job {row.number} have begun: to have fewer, cancel them one by one")
    for each in free[: len(counted) - count]:
        _cancel(tx, each, row.site)


def move(tx: Transaction, asked: str, before: str | None, by: str) -> FarmJob:
    """Put a job just before another, or after all of its priority and due date.

    It gets the middle between the positions of its two neighbours.

    Raises:
        FarmConflict: the other job has ended, or has another priority or due date.
    """
    row = rows.find_job(tx, asked)
    job = row.id
    peers = [each for each in _peers(tx, row) if each.id != job]
    index = len(peers)
    other = None if before is None else rows.find_job(tx, before)
    if other is not None and other.id == job:
        return rows.get_job(tx, job)
    if other is not None:
        if (other.priority, other.due) != (row.priority, row.due):
            what = "priority" if other.priority != row.priority else "due date"
            raise FarmConflict(f"jobs {row.number} and {other.number} differ in {what}: change that first")
        index = next((n for n, each in enumerate(peers) if each.id == other.id), -1)
        if index < 0:
            raise FarmConflict(f"job {other.number} has ended: no job can be put before it")
    places = [each.position for each in peers]
    low = places[index - 1] if index else None
    high = places[index] if index < len(places) else None
    if low is not None and high is not None and high - low < MIN_GAP:
        _spread(tx, peers)
        return move(tx, job, before, by)
    place = (high or 0.0) - 1 if low is None else low + 1 if high is None else (low + high) / 2
    tx.write(sa.update(jobs).where(jobs.c.id == job).values(position=place, revision=row.revision + 1))
    tx.event(by, "moved", job=job)
    return rows.get_job(tx, job)


def _peers(tx: Transaction, row: Any) -> list[Any]:
    """Return the unfinished jobs of a priority and due date, in their order."""
    where = (jobs.c.unfinished > 0, jobs.c.priority == row.priority, jobs.c.due == row.due)
    return tx.rows(sa.select(jobs.c.id, jobs.c.position).where(*where).order_by(jobs.c.position, jobs.c.number))


def _spread(tx: Transaction, peers: list[Any]) -> None:
    """Number the positions of these jobs again, as they have become too close."""
    set_place = sa.update(jobs).where(jobs.c.id == P("a_job")).values(position=P("place"))
    tx.write_many(set_place, [{"a_job": each.id, "place": float(n)} for n, each in enumerate(peers)])


def hold(tx: Transaction, asked: str, by: str) -> FarmJob:
    """Offer no more copies of a job; offers are taken back, copies that have begun go on."""
    row = rows.find_job(tx, asked)
    job = row.id
    _check_site(row)
    if not row.held:
        values = {"held": 1, "held_by": by, "held_at": tx.now, "revision": row.revision + 1}
        tx.write(sa.update(jobs).where(jobs.c.id == job).values(**values))
        tx.event(by, "held", job=job)
    _withdraw(tx, job)
    rows.recount(tx, [job])
    return rows.get_job(tx, job)


def release(tx: Transaction, asked: str, by: str) -> FarmJob:
    """Offer a job again, even to printers that have declined it."""
    row = rows.find_job(tx, asked)
    job = row.id
    _check_site(row)
    if row.held:
        values = {"held": 0, "held_by": "", "held_at": None, "revision": row.revision + 1}
        tx.write(sa.update(jobs).where(jobs.c.id == job).values(**values))
        tx.event(by, "released", job=job)
    tx.write(sa.delete(declines).where(declines.c.job == job))
    rows.recount(tx, [job])
    return rows.get_job(tx, job)


def _withdraw(tx: Transaction, job: str) -> None:
    """Take back the offers of a job."""
    offered = sa.select(copies).where(copies.c.job == job, copies.c.state == "offered")
    for row in tx.rows(offered):
        handing.take_back(tx, rows.copy_of(row))


def cancel_job(tx: Transaction, asked: str, by: str) -> list[FarmCopy]:
    """Cancel the copies that have not begun, and wish for the end of the others; return all of these."""
    row = rows.find_job(tx, asked)
    job = row.id
    open_ones = sa.select(copies).where(copies.c.job == job, copies.c.state.not_in(FINAL)).order_by(copies.c.number)
    concerned = [rows.copy_of(each) for each in tx.rows(open_ones)]
    for copy in concerned:
        _cancel(tx, copy, row.site)
    rows.recount(tx, [job])
    if concerned:
        tx.event(by, "cancelled job", job=job)
    return [rows.get_copy(tx, copy.id) for copy in concerned]


def cancel_copy(tx: Transaction, copy_id: str, by: str) -> FarmCopy:
    """Cancel a copy, or wish for its end where it has begun.

    Raises:
        FarmConflict: it has ended.
    """
    copy = rows.get_copy(tx, copy_id)
    if copy.state == "cancelled" or copy.wish == "cancel":
        return copy
    if copy.state in FINAL:
        raise FarmConflict(f"this copy is {copy.state} already")
    _cancel(tx, copy, rows.find_job(tx, copy.job).site)
    rows.recount(tx, [copy.job])
    tx.event(by, "cancel", job=copy.job, copy=copy.id, printer=copy.printer)
    return rows.get_copy(tx, copy_id)


def _cancel(tx: Transaction, copy: FarmCopy, site: str) -> None:
    """Cancel a copy; where a printer or a site has it, only wish for it until that reports the end."""
    here = sa.update(copies).where(copies.c.id == copy.id, copies.c.state == copy.state)
    if copy.state in BEGUN or site:
        tx.write(here.values(wish="cancel"))
    else:
        tx.write(here.values(state="cancelled", since=tx.now, ended=tx.now))


def again(tx: Transaction, copy_id: str, by: str) -> FarmCopy:
    """Make a copy to replace one that has ended, or whose printer is silent.

    Raises:
        FarmConflict: the copy has not begun, so it will be printed anyway.
    """
    copy = rows.get_copy(tx, copy_id)
    _check_site(rows.find_job(tx, copy.job))
    if copy.state in ("waiting", "offered"):
        raise FarmConflict("this copy has not begun: it will be printed when its turn comes")
    children = sa.select(copies).where(copies.c.job == copy.job, copies.c.parent == copy.id)
    for child in tx.rows(children.where(copies.c.state.in_(("waiting", "offered")))):
        return rows.copy_of(child)  # a second click asks for no second print
    last: int = tx.row(sa.select(sa.func.max(copies.c.number).label("last")).where(copies.c.job == copy.job)).last
    _add_copies(tx, copy.job, last + 1, 1, parent=copy.id)
    rows.recount(tx, [copy.job])
    fresh = rows.copy_id(copy.job, last + 1)
    tx.event(by, "again", job=copy.job, copy=fresh, text=f"in the place of copy {copy.number}")
    return rows.get_copy(tx, fresh)


def settle(tx: Transaction, copy_id: str, to: str, by: str) -> FarmCopy:
    """End a copy that has begun as the user says.

    Raises:
        FarmConflict: it has not begun, or has ended in another state.
    """
    copy = rows.get_copy(tx, copy_id)
    if copy.state == to:
        return copy
    if copy.state not in BEGUN:
        raise FarmConflict(f"this copy is {copy.state}: only copies that have begun can be settled")
    handing.settle(tx, copy, to, by)
    return rows.get_copy(tx, copy_id)


def _check_site(row: Any) -> None:
    if row.site:
        raise FarmConflict(f"the site {row.site} has job {row.number}: change it there")


# -- sites -------------------------------------------------------------------------------------------------


def hand_over(tx: Transaction, asked: str, site: str, by: str) -> FarmJob:
    """Give a whole job to a site, for good; the same again changes nothing.

    Raises:
        FarmConflict: another site has it, or one of its copies no longer waits.
    """
    row = rows.find_job(tx, asked)
    job = row.id
    if row.site == site:
        return rows.get_job(tx, job)
    _check_site(row)
    _withdraw(tx, job)
    begun = sa.select(copies.c.id).where(copies.c.job == job, copies.c.state != "waiting").limit(1)
    if tx.row(begun) is not None:
        raise FarmConflict(f"job {row.number} has begun here: it cannot be handed over to {site}")
    tx.write(sa.update(jobs).where(jobs.c.id == job, jobs.c.site == "").values(site=site, revision=row.revision + 1))
    rows.recount(tx, [job])
    tx.event(by, "handed over", job=job, text=site)
    return rows.get_job(tx, job)


def mirror(tx: Transaction, site: str, reported: list[FarmCopy]) -> None:
    """Store the copies that a site reports of its jobs; copies that have ended stay as they are."""
    jobs_of_site: set[str] = set()
    for copy in reported:
        row = tx.row(sa.select(jobs.c.site).where(jobs.c.id == P("id")), id=copy.job)
        if row is None or row.site != site:
            continue
        jobs_of_site.add(copy.job)
        values = msgspec.structs.asdict(copy)
        here = rows.find_copy(tx, copy.id)
        if here is None:
            tx.write(sa.insert(copies).values(**values))
        elif not handing.is_final(here) and here.job == copy.job:
            if not handing.is_final(copy):
                values["wish"] = here.wish or copy.wish  # the site may not know yet that a user here wishes its end
            tx.write(sa.update(copies).where(copies.c.id == copy.id).values(**values))
    rows.recount(tx, jobs_of_site)
