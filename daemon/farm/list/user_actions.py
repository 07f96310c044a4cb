"""What users may do with the list: submit, edit, move, hold, cancel, print again; `job_list` has the theory."""

import hashlib
import json
import math
import re
import uuid
from typing import Any

import msgspec
import sqlalchemy as sa

from daemon.farm.errors import BadJob, FarmConflict, IdempotencyKeyReused, StaleRevision, UnknownFile
from daemon.farm.list import old_files, printer_actions, rows
from daemon.farm.list.database import Transaction
from daemon.farm.list.matching import fold, materials
from daemon.farm.list.schema import FOREVER, copies, declines, files, jobs, kinds
from daemon.farm.list.values import BEGUN_STATES, FINAL_STATES, FarmCopy, FarmJob, FileFacts, JobChanges, JobRequest
from daemon.farm.messages import PRINTER_ID

MAX_COPIES = 1000
MAX_PRIORITY = 1000
MAX_PRINTERS = 200
MAX_NAME = 255
MAX_WORD = 64
MAX_NOTES = 4000
MAX_NOZZLE = 10.0
MAX_DUE = 4e9
"""Bounds of a job's fields: numbers, characters, mm, and a Unix time in s."""

MIN_GAP = 1e-6
"""Before a job is put between two jobs whose ranks are closer than this, all ranks are numbered again."""

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
    is_stored = (files.c.sha256 == P("sha256"), files.c.at > old_files.FORGOTTEN)
    row = tx.row(sa.select(files.c.facts).where(*is_stored), sha256=sha256)
    if row is None:
        raise UnknownFile(f"no file with the SHA-256 {sha256[:64]} is stored here: upload it")
    return msgspec.json.decode(row.facts, type=FileFacts)


# -- a new job ---------------------------------------------------------------------------------------------


def add(tx: Transaction, request: JobRequest) -> tuple[FarmJob, bool]:
    """Make a job; return it, and whether it is new: a repeated id or key returns the same job.

    Raises:
        BadJob: a value is out of its bounds.
        UnknownFile: its file is not stored here.
        IdempotencyKeyReused: the key was used for another job.
    """
    if (existing := _existing_job(tx, request)) is not None:
        return existing, False
    facts = get_file(tx, request.sha256)
    job_id, number = request.id or str(uuid.uuid4()), tx.next_number("job")
    values = _trim_fields(
        {
            "name": request.name or facts.name,
            "material": facts.material if request.material is None else request.material,
            "colour": request.colour,
            "nozzle_mm": facts.nozzle_mm if request.nozzle_mm is None else request.nozzle_mm,
            "group": request.group,
            "printers": request.printers,
            "priority": request.priority,
            "due": request.due,
            "notes": request.notes,
        }
    )
    _check_copies(request.copies)
    row = {
        **_columns(values),
        "id": job_id,
        "number": number,
        "idempotency_key": request.key or None,
        "fingerprint": _fingerprint(request),
        "sha256": request.sha256,
        "created": tx.now,
        "created_by": request.by,
        "revision": 1,
        "position": _last_rank(tx, values["priority"], values["due"], float(number)),
        "held": int(request.held),
        "held_by": request.by if request.held else "",
        "held_at": tx.now if request.held else None,
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
    _add_copies(tx, job_id, 1, request.copies)
    rows.recount(tx, [job_id])
    tx.add_event(request.by, "submitted", job=job_id, text=f"{request.copies} x {values['name']}")
    return rows.get_job(tx, job_id), True


def _last_rank(tx: Transaction, priority: int, due: float | None, number: float) -> float:
    """Return a rank after all jobs of a priority and due date: `number`, unless a job was moved beyond that."""
    where = (jobs.c.unfinished > 0, jobs.c.priority == priority, jobs.c.due == (FOREVER if due is None else due))
    last = tx.row(sa.select(jobs.c.position).where(*where).order_by(jobs.c.position.desc()).limit(1))
    return number if last is None else max(number, last.position + 1)


def _existing_job(tx: Transaction, request: JobRequest) -> FarmJob | None:
    """Return the job that the same request has made before; None: there is none."""
    if request.id:
        try:
            canonical = str(uuid.UUID(request.id))
        except ValueError:
            raise BadJob(f"the id of a job must be a UUID, not {request.id[:64]!r}") from None
        if canonical != request.id:
            raise BadJob(f"the id of a job must be written as {canonical}, not as {request.id[:64]!r}")
        same = tx.row(sa.select(jobs).where(jobs.c.id == P("id")), id=request.id)
        if same is not None:
            return rows.jobs_of(tx, [same])[0]
    if not request.key:
        return None
    row = tx.row(sa.select(jobs).where(jobs.c.idempotency_key == P("key")), key=request.key)
    if row is None:
        return None
    if row.fingerprint != _fingerprint(request):
        raise IdempotencyKeyReused(
            f"this idempotency key was used for job {row.number}, which differs from this request"
        )
    return rows.jobs_of(tx, [row])[0]


def _fingerprint(request: JobRequest) -> str:
    return hashlib.sha256(msgspec.json.encode(msgspec.structs.replace(request, by=""))).hexdigest()


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
    """Return the id of a job's kind; a new kind is added."""
    columns = {
        "material": ";".join(materials(job["material"])),
        "colour": fold(job["colour"]),
        "nozzle_mm": job["nozzle_mm"],
        "printer_group": fold(job["printer_group"]),
    }
    row = tx.row(sa.select(kinds.c.id).where(*(kinds.c[name] == value for name, value in columns.items())))
    if row is not None:
        existing: int = row.id
        return existing
    number = tx.next_number("kind")
    tx.write(sa.insert(kinds).values(id=number, **columns))
    return number


def _trim_fields(values: dict[str, Any]) -> dict[str, Any]:
    """Return a job's fields, without blanks around their texts.

    Raises:
        BadJob: a value is out of its bounds.
    """
    trimmed = dict(values)
    for name, longest in (("name", MAX_NAME), ("material", MAX_WORD), ("colour", MAX_WORD), ("group", MAX_WORD)):
        if name in trimmed:
            trimmed[name] = _text(name, trimmed[name].strip(), longest)
    if not trimmed.get("name", "-"):
        raise BadJob("a job needs a name")
    if "notes" in trimmed:
        trimmed["notes"] = _text("notes", trimmed["notes"], MAX_NOTES, allowed="\n\r\t")
    if "printers" in trimmed:
        trimmed["printers"] = _printers(trimmed["printers"])
    _check_numbers(trimmed)
    return trimmed


def _check_numbers(values: dict[str, Any]) -> None:
    """Check the bounds of numbers; raises BadJob."""
    nozzle, priority, due = values.get("nozzle_mm", 0.0), values.get("priority", 0), values.get("due")
    if not 0 <= nozzle <= MAX_NOZZLE:
        raise BadJob(f"nozzle_mm must be from 0 (any) to {MAX_NOZZLE:g} mm, not {nozzle:g}")
    if abs(priority) > MAX_PRIORITY:
        raise BadJob(f"priority must be from -{MAX_PRIORITY} to {MAX_PRIORITY}, not {priority}")
    if due is not None and not (math.isfinite(due) and 0 < due < MAX_DUE):
        raise BadJob("due must be a Unix time, in s")


def _printers(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return each name once; raises BadJob."""
    if len(names) > MAX_PRINTERS:
        raise BadJob(f"a job can name at most {MAX_PRINTERS} printers: use a group")
    for each in names:
        if not re.fullmatch(PRINTER_ID, each):
            raise BadJob(f"{each[:64]!r} is not a printer's name: use 1 to 32 characters of a-z, 0-9 and -")
    return tuple(dict.fromkeys(names))


def _text(name: str, text: str, longest: int, allowed: str = "") -> str:
    if len(text) > longest:
        raise BadJob(f"{name} has {len(text)} characters: at most {longest} are allowed")
    if not all(character.isprintable() or character in allowed for character in text):
        raise BadJob(f"{name} contains characters that cannot be shown")
    return text


def _check_copies(count: int) -> None:
    if not 1 <= count <= MAX_COPIES:
        raise BadJob(f"copies must be from 1 to {MAX_COPIES}, not {count}")


def _columns(values: dict[str, Any]) -> dict[str, Any]:
    """Return a job's fields as columns of its table."""
    columns = {name: value for name, value in values.items() if name not in ("group", "printers", "due")}
    if "group" in values:
        columns["printer_group"] = values["group"]
    if "printers" in values:
        columns["printers"] = json.dumps(values["printers"])
    if "due" in values:
        columns["due"] = FOREVER if values["due"] is None else values["due"]
    return columns


# -- changes -----------------------------------------------------------------------------------------------


def edit(tx: Transaction, job_ref: str, changes: JobChanges, revision: int | None, by: str) -> FarmJob:
    """Change a job; its offers are taken back, and copies that have begun stay as they are.

    Raises:
        StaleRevision: the job has another revision.
        BadJob: a value is out of its bounds.
        FarmConflict: more copies have begun than the new number.
    """
    row = rows.find_job(tx, job_ref)
    job = row.id
    _check_site(row)
    if revision is not None and row.revision != revision:
        raise StaleRevision(
            f"job {row.number} has been changed in the meantime: it has revision {row.revision}, not {revision}"
        )
    new = {name: value for name, value in msgspec.structs.asdict(changes).items() if value is not msgspec.UNSET}
    count = new.pop("copies", None)
    columns = _columns(_trim_fields(new))
    if count is not None:
        _check_copies(count)
        _set_copies(tx, row, count)
    kind = _kind(tx, {**row._mapping, **columns})  # noqa: SLF001 - SQLAlchemy's public name for it
    same_revision = sa.update(jobs).where(jobs.c.id == job, jobs.c.revision == row.revision)
    tx.write(same_revision.values(**columns, kind=kind, revision=row.revision + 1))
    tx.write(sa.delete(declines).where(declines.c.job == job))
    _take_back_offers(tx, job)
    rows.recount(tx, [job])
    tx.add_event(by, "edited", job=job, text=", ".join([*sorted(new), *(["copies"] if count is not None else [])]))
    return rows.get_job(tx, job)


def _set_copies(tx: Transaction, row: Any, count: int) -> None:
    """Add copies, or cancel the last ones among those that have not begun."""
    all_copies = [rows.copy_of(each) for each in tx.rows(sa.select(copies).where(copies.c.job == row.id))]
    counted = [each for each in all_copies if each.state != "cancelled"]
    if count >= len(counted):
        _add_copies(tx, row.id, max(each.number for each in all_copies) + 1, count - len(counted))
        return
    not_begun = sorted(
        (each for each in counted if each.state in ("waiting", "offered")), key=lambda each: -each.number
    )
    if len(not_begun) < len(counted) - count:
        begun = len(counted) - len(not_begun)
        raise FarmConflict(
            f"job {row.number} cannot have fewer than {begun} copies, because so many have begun: cancel those in "
            "progress first"
        )
    for each in not_begun[: len(counted) - count]:
        _cancel(tx, each, row.site)


def move(tx: Transaction, job_ref: str, before: str | None, by: str) -> FarmJob:
    """Put a job just before another, or after all jobs of its priority and due date.

    Its new rank is halfway between those of its neighbours.

    Raises:
        FarmConflict: the other job has ended, or has another priority or due date.
    """
    row = rows.find_job(tx, job_ref)
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
    ranks = [each.position for each in peers]
    low = ranks[index - 1] if index else None
    high = ranks[index] if index < len(ranks) else None
    if low is not None and high is not None and high - low < MIN_GAP:
        _renumber(tx, peers)
        return move(tx, job, before, by)
    rank = (high or 0.0) - 1 if low is None else low + 1 if high is None else (low + high) / 2
    tx.write(sa.update(jobs).where(jobs.c.id == job).values(position=rank, revision=row.revision + 1))
    tx.add_event(by, "moved", job=job)
    return rows.get_job(tx, job)


def _peers(tx: Transaction, row: Any) -> list[Any]:
    """Return the unfinished jobs of a priority and due date, in their order."""
    where = (jobs.c.unfinished > 0, jobs.c.priority == row.priority, jobs.c.due == row.due)
    return tx.rows(sa.select(jobs.c.id, jobs.c.position).where(*where).order_by(jobs.c.position, jobs.c.number))


def _renumber(tx: Transaction, peers: list[Any]) -> None:
    """Number the ranks of these jobs again: they have come too close to each other."""
    set_rank = sa.update(jobs).where(jobs.c.id == P("a_job")).values(position=P("a_rank"))
    tx.write_many(set_rank, [{"a_job": each.id, "a_rank": float(n)} for n, each in enumerate(peers)])


def hold(tx: Transaction, job_ref: str, by: str) -> FarmJob:
    """Offer no more copies of a job, and take back its offers. Copies that have begun are finished."""
    row = rows.find_job(tx, job_ref)
    job = row.id
    _check_site(row)
    if not row.held:
        values = {"held": 1, "held_by": by, "held_at": tx.now, "revision": row.revision + 1}
        tx.write(sa.update(jobs).where(jobs.c.id == job).values(**values))
        tx.add_event(by, "held", job=job)
    _take_back_offers(tx, job)
    rows.recount(tx, [job])
    return rows.get_job(tx, job)


def release(tx: Transaction, job_ref: str, by: str) -> FarmJob:
    """Offer a job again, even to printers that have declined it."""
    row = rows.find_job(tx, job_ref)
    job = row.id
    _check_site(row)
    if row.held:
        values = {"held": 0, "held_by": "", "held_at": None, "revision": row.revision + 1}
        tx.write(sa.update(jobs).where(jobs.c.id == job).values(**values))
        tx.add_event(by, "released", job=job)
    tx.write(sa.delete(declines).where(declines.c.job == job))
    rows.recount(tx, [job])
    return rows.get_job(tx, job)


def _take_back_offers(tx: Transaction, job: str) -> None:
    """Take back the offers of a job."""
    offered = sa.select(copies).where(copies.c.job == job, copies.c.state == "offered")
    for row in tx.rows(offered):
        printer_actions.take_back(tx, rows.copy_of(row))


def cancel_job(tx: Transaction, job_ref: str, by: str) -> list[FarmCopy]:
    """Cancel and return a job's unfinished copies. One that has begun ends with its printer's report."""
    row = rows.find_job(tx, job_ref)
    job = row.id
    unfinished = (
        sa.select(copies).where(copies.c.job == job, copies.c.state.not_in(FINAL_STATES)).order_by(copies.c.number)
    )
    open_copies = [rows.copy_of(each) for each in tx.rows(unfinished)]
    for copy in open_copies:
        _cancel(tx, copy, row.site)
    rows.recount(tx, [job])
    if open_copies:
        tx.add_event(by, "cancelled job", job=job)
    return [rows.get_copy(tx, copy.id) for copy in open_copies]


def cancel_copy(tx: Transaction, copy_id: str, by: str) -> FarmCopy:
    """Cancel a copy. If it has begun, it ends with its printer's report.

    Raises:
        FarmConflict: it has ended.
    """
    copy = rows.get_copy(tx, copy_id)
    if copy.state == "cancelled" or copy.wish == "cancel":
        return copy
    if copy.state in FINAL_STATES:
        raise FarmConflict(f"this copy is {copy.state} already")
    _cancel(tx, copy, rows.find_job(tx, copy.job).site)
    rows.recount(tx, [copy.job])
    tx.add_event(by, "cancel", job=copy.job, copy=copy.id, printer=copy.printer)
    return rows.get_copy(tx, copy_id)


def _cancel(tx: Transaction, copy: FarmCopy, site: str) -> None:
    """Cancel a copy. If it has begun or is at a site, only record the wish: the printer or site reports the end."""
    update = sa.update(copies).where(copies.c.id == copy.id, copies.c.state == copy.state)
    if copy.state in BEGUN_STATES or site:
        tx.write(update.values(wish="cancel"))
    else:
        tx.write(update.values(state="cancelled", since=tx.now, ended=tx.now))


def print_again(tx: Transaction, copy_id: str, by: str) -> FarmCopy:
    """Make a copy to replace one that has begun or ended. The caller has checked that no printer is printing it now.

    Raises:
        FarmConflict: the copy has not begun, so it will be printed anyway.
    """
    copy = rows.get_copy(tx, copy_id)
    _check_site(rows.find_job(tx, copy.job))
    if copy.state in ("waiting", "offered"):
        raise FarmConflict("this copy has not begun: it will be printed when its turn comes")
    children = sa.select(copies).where(copies.c.job == copy.job, copies.c.parent == copy.id)
    for child in tx.rows(children.where(copies.c.state.in_(("waiting", "offered")))):
        return rows.copy_of(child)  # a second click must not print another one
    last: int = tx.row(sa.select(sa.func.max(copies.c.number).label("last")).where(copies.c.job == copy.job)).last
    _add_copies(tx, copy.job, last + 1, 1, parent=copy.id)
    rows.recount(tx, [copy.job])
    new_id = rows.copy_id(copy.job, last + 1)
    tx.add_event(by, "again", job=copy.job, copy=new_id, text=f"in place of copy {copy.number}")
    return rows.get_copy(tx, new_id)


def settle(tx: Transaction, copy_id: str, to: str, by: str) -> FarmCopy:
    """Record how a copy that has begun has ended, as the user says.

    Raises:
        FarmConflict: it has not begun, has ended in another state, or is at a site.
    """
    copy = rows.get_copy(tx, copy_id)
    if copy.state == to:
        return copy
    _check_site(rows.find_job(tx, copy.job))
    if copy.state not in BEGUN_STATES:
        raise FarmConflict(f"this copy is {copy.state}: only copies that have begun can be settled")
    printer_actions.settle(tx, copy, to, by)
    return rows.get_copy(tx, copy_id)


def _check_site(row: Any) -> None:
    if row.site:
        raise FarmConflict(f"the site {row.site} has job {row.number}: change it there")


# -- sites -------------------------------------------------------------------------------------------------


def hand_over(tx: Transaction, job_ref: str, site: str, by: str) -> FarmJob:
    """Give a whole job to a site, for good; repeating it changes nothing.

    Raises:
        FarmConflict: another site has it, or one of its copies no longer waits.
    """
    row = rows.find_job(tx, job_ref)
    job = row.id
    if row.site == site:
        return rows.get_job(tx, job)
    _check_site(row)
    _take_back_offers(tx, job)
    others = sa.select(copies.c.id).where(copies.c.job == job, copies.c.state != "waiting").limit(1)
    if tx.row(others) is not None:
        raise FarmConflict(f"copies of job {row.number} have begun or ended here: it cannot be handed over to {site}")
    tx.write(sa.update(jobs).where(jobs.c.id == job, jobs.c.site == "").values(site=site, revision=row.revision + 1))
    rows.recount(tx, [job])
    tx.add_event(by, "handed over", job=job, text=site)
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
        own_copy = rows.find_copy(tx, copy.id)
        if own_copy is None:
            tx.write(sa.insert(copies).values(**values))
        elif not printer_actions.is_final(own_copy) and own_copy.job == copy.job:
            if not printer_actions.is_final(copy):
                # a user here may have cancelled it, which the site does not know yet
                values["wish"] = own_copy.wish or copy.wish
            tx.write(sa.update(copies).where(copies.c.id == copy.id).values(**values))
    rows.recount(tx, jobs_of_site)
