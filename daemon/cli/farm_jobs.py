"""`nozzled farm submit | status | why | …`: the actions of users, through the farm's HTTP API.

The exit codes are those of `daemon.cli.remote`.
"""

import argparse
import asyncio
import hashlib
import json
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from datetime import date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from daemon.cli import DISK_FULL
from daemon.cli.options import EXIT_UNFIT
from daemon.cli.remote import duration, expect_known_form, printable
from daemon.client import AccessDenied, ClientError, Conflict, NotFound, RequestRefused, Unreachable
from daemon.client.errors import NeverSent
from daemon.farm.client import FarmClient
from gcode.frozen import frozen

URL, KEY = "NOZZLED_FARM_URL", "NOZZLED_FARM_KEY"
DEFAULT_URL = "http://127.0.0.1:5050"
KEY_FILES = ("~/.config/nozzled/farm.key", "/var/lib/nozzled-farm/admin.key")
FOLLOW_INTERVAL = 2.0  # s between two requests for the log
PAGE = 500  # jobs in one answer

CODES: dict[type[ClientError], int] = {Unreachable: 3, AccessDenied: 4, NotFound: 5, Conflict: EXIT_UNFIT}


@frozen
class FarmAction:
    """An action: its help, its function, the text that it prints, and its command line.

    Attributes:
        run: sends the requests, and returns the answer for `show` and --json.
        show: returns the answer as text for users.
        arguments: declares the command line.
    """

    help: str
    run: Callable[[FarmClient, argparse.Namespace], Awaitable[Any]]
    show: Callable[[Any], str] = lambda _: ""
    arguments: Callable[[argparse.ArgumentParser], None] = lambda _: None


def add(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the actions."""
    for name, action in _ACTIONS.items():
        command = actions.add_parser(name, help=action.help, description=action.help)
        action.arguments(command)
        farm = command.add_argument_group("farm")
        farm.add_argument("--url", metavar="U", help=f"address of the farm (default: ${URL}, else {DEFAULT_URL})")
        farm.add_argument(
            "--key-file",
            type=Path,
            metavar="F",
            help=f"file with an API key (default: ${KEY}, else {KEY_FILES[0]}, else the server's own)",
        )
        command.add_argument("--json", action="store_true", help="print the answer as JSON, for scripts")
        command.set_defaults(act=_run, action=action, parser=command)


def _run(args: argparse.Namespace) -> int:
    """Run the action; print the answer, or the reason on stderr, and return the exit code."""
    logging.getLogger("tornado").setLevel(logging.CRITICAL)  # its errors come as exceptions too
    action: FarmAction = args.action
    url = args.url or os.environ.get(URL) or DEFAULT_URL
    try:
        with expect_known_form(url):
            answer = asyncio.run(_act(url, action, args))
            text = json.dumps(answer) if args.json else action.show(answer)
    except ClientError as error:
        return _report_failure(error, url, as_json=args.json)
    except OSError as error:
        if isinstance(error, BrokenPipeError) or error.errno in DISK_FULL:
            raise  # an error of the output, which `daemon.cli.main` reports
        return _say(f"cannot read {error.filename or 'the file'}: {error.strerror}", 1)
    if text:
        print(text)
    return 0


async def _act(url: str, action: FarmAction, args: argparse.Namespace) -> Any:
    async with FarmClient(url, _key(args.key_file, os.environ)) as farm:
        return await action.run(farm, args)


def _key(path: Path | None, environ: Mapping[str, str]) -> str:
    """Return the key from the file, the environment or a default file; "" if there is none: the farm will say so."""
    if path is None and environ.get(KEY):
        return environ[KEY].strip()
    for each in [path] if path is not None else _default_key_files():
        try:
            return each.read_text("utf-8").strip()
        except UnicodeDecodeError as error:
            raise ClientError(f"cannot read {each}: it is not plain text") from error
        except OSError:
            if path is not None:
                raise
    return ""


def _default_key_files() -> Iterator[Path]:
    for name in KEY_FILES:
        with suppress(RuntimeError):  # this user has no home directory
            yield Path(name).expanduser()


def _report_failure(error: ClientError, url: str, *, as_json: bool) -> int:
    status = error.status if isinstance(error, RequestRefused) else None
    text = error.text if isinstance(error, RequestRefused) and error.text else str(error)
    if as_json:
        print(json.dumps({"error": text, "status": status}))
    if isinstance(error, NeverSent):
        text = f"no farm answers at {url}: is `nozzled farm serve` running there? For another, give --url or ${URL}"
    elif isinstance(error, AccessDenied):
        text = f"{text}; name a file with another key by --key-file, or put the key into ${KEY}"
    return _say(text, next((code for kind, code in CODES.items() if isinstance(error, kind)), 1))


def _say(text: str, code: int) -> int:
    print(f"nozzled: {printable(text)}", file=sys.stderr)
    return code


# -- submit ------------------------------------------------------------------------------------------------------


def _declare_submit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="G-code; each file becomes a job")
    parser.add_argument("--copies", type=_count, metavar="N", default=1, help="copies of each file (default: 1)")
    _add_fields(parser)
    parser.add_argument("--hold", action="store_true", help="print nothing until `nozzled farm release`")
    parser.add_argument("--once", metavar="KEY", help="submit the files only once, even if run again with the same KEY")


def _add_fields(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--material", metavar="M", help="material that must be loaded, such as PLA")
    parser.add_argument("--colour", "--color", metavar="C", help="its colour, as the printers' [[farm.tools]] name it")
    parser.add_argument("--nozzle", dest="nozzle_mm", type=float, metavar="MM", help="diameter of the nozzle, in mm")
    parser.add_argument("--group", metavar="G", help="only printers of this group")
    parser.add_argument("--printer", action="append", metavar="ID", help="only this printer; may be repeated")
    parser.add_argument(
        "--priority", type=int, metavar="P", help="jobs with a higher one are printed first (default: 0)"
    )
    parser.add_argument("--due", type=_moment, metavar="DATE", help="due date: 2026-12-24 or 2026-12-24T18:00")
    parser.add_argument("--notes", metavar="T", help="notes for the person at the printer")


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _moment(text: str) -> float:
    """Return a Unix time in s; a date without a time means the end of that day."""
    try:
        if len(text) == len("2026-12-24"):
            return datetime.combine(date.fromisoformat(text), datetime.max.time()).timestamp() // 1
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a date: use 2026-12-24 or 2026-12-24T18:00") from None


def _fields(args: argparse.Namespace) -> dict[str, Any]:
    names = ("material", "colour", "nozzle_mm", "group", "priority", "due", "notes")
    fields = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    return fields | ({"printers": args.printer} if args.printer else {})


async def _submit(farm: FarmClient, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Submit each file, with an idempotency key: after a lost answer, the same request makes no second job."""
    fields = {name: ",".join(value) if isinstance(value, list) else str(value) for name, value in _fields(args).items()}
    fields |= {"copies": str(args.copies), **({"held": "true"} if args.hold else {})}
    once = args.once or os.urandom(8).hex()
    jobs: list[dict[str, Any]] = []
    for path in args.files:
        key = hashlib.sha256(f"{once} {path.name} {_hash(path)}".encode()).hexdigest()[:40]
        try:
            job = await _submit_file(farm, path, fields, key)
        except (ClientError, OSError, asyncio.CancelledError) as error:
            _say(_interruption_text(path.name, jobs, once, error), 1)
            raise
        jobs.append(job)
        if not args.json:
            print(printable(f"job {job['number']}: {job['name']}, {_copies(job['counts']['total'])}"), flush=True)
    return jobs


def _interruption_text(name: str, jobs: list[dict[str, Any]], once: str, error: BaseException) -> str:
    """Return which files have become jobs, and how to repeat the command without making a job twice."""
    numbers = ", ".join(str(each["number"]) for each in jobs) or "none"
    is_refused = isinstance(error, RequestRefused | NeverSent | OSError)
    what = f"{name} has not become a job" if is_refused else f"it is not known whether {name} became a job"
    return f"{what}; jobs made before: {numbers}. To repeat the command without making a job twice, add --once {once}"


async def _submit_file(farm: FarmClient, path: Path, fields: Mapping[str, str], key: str) -> dict[str, Any]:
    try:
        return await farm.submit(path, fields, key)
    except Unreachable as error:
        if isinstance(error, NeverSent):
            raise
        return await farm.submit(path, fields, key)  # the first request may have arrived: the key makes it one job


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _copies(number: int) -> str:
    return "1 copy" if number == 1 else f"{number} copies"


# -- reading -------------------------------------------------------------------------------------------------------


async def _status(farm: FarmClient, args: argparse.Namespace) -> dict[str, Any]:
    about = await farm.get("")
    jobs = await _open_jobs(farm)
    if args.all:
        jobs += (await farm.get("/jobs", {"state": "ended"}))["jobs"]
    orphans = await farm.get("/orphans")
    return {"farm": about, "jobs": jobs, "orphans": orphans["copies"]}


async def _open_jobs(farm: FarmClient) -> list[dict[str, Any]]:
    """Return all unfinished jobs; the farm lists at most PAGE in one answer."""
    jobs: list[dict[str, Any]] = []
    while True:
        page = (await farm.get("/jobs", {"limit": str(PAGE), "offset": str(len(jobs))}))["jobs"]
        jobs += page
        if len(page) < PAGE:
            return jobs


def _declare_status(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--all", action="store_true", help="include the last 100 jobs that have ended")


def _format_status(status: dict[str, Any]) -> str:
    rows = []
    if not status["farm"]["nats"]["connected"]:
        rows.append(f"no print begins: {status['farm']['nats']['trouble']}")
    rows += [
        f"ORPHAN {copy['id']}: {copy['printer']}, which prints it, is away. Look at the printer, then run "
        f"`nozzled farm settle {copy['id']} done|failed` or `nozzled farm again {copy['id']}`"
        for copy in status["orphans"]
    ]
    if status["jobs"]:
        rows.append(f"{'job':>6}  {'done':>7}  file and requirements; why it waits")
    for job in status["jobs"]:
        rows += [_describe_job(job), *(f"        {why}" for why in job["why"][:3])]
    return "\n".join(printable(row) for row in rows or ["no job is open"])


def _describe_job(job: dict[str, Any]) -> str:
    counts = job["counts"]
    requirements = [
        job["material"],
        job["colour"],
        f"{job['nozzle_mm']:g} mm" if job["nozzle_mm"] else "",
        job["group"],
    ]
    more = [f"{counts['failed']} failed"] if counts["failed"] else []
    more += ["on hold"] if job["held"] else []
    done = f"{counts['done']}/{counts['total']}"
    return "  ".join([f"{job['number']:>6}  {done:>7}  {job['name']}", *filter(None, requirements), *more])


async def _why(farm: FarmClient, args: argparse.Namespace) -> dict[str, Any]:
    job: dict[str, Any] = await farm.get(f"/jobs/{quote(args.job, safe='')}")
    return job


def _format_why(job: dict[str, Any]) -> str:
    rows = [_describe_job(job), *(f"        {why}" for why in job["why"])]
    rows += [f"        copy {copy['number']}: {_describe_copy(copy)}" for copy in job["copy_list"]]
    return "\n".join(printable(row) for row in rows)


def _describe_copy(copy: dict[str, Any]) -> str:
    where = f" at {copy['printer']}" if copy["printer"] else ""
    reason = f": {copy['reason']}" if copy["reason"] else ""
    orphan = " (orphan: its printer is away)" if copy["orphan"] else ""
    return f"{copy['state']}{where}{reason}{orphan}  {copy['id']}"


async def _printers(farm: FarmClient, _: argparse.Namespace) -> list[dict[str, Any]]:
    printers: list[dict[str, Any]] = (await farm.get("/printers"))["printers"]
    return printers


def _format_printers(printers: list[dict[str, Any]]) -> str:
    rows = []
    for each in printers:
        status = "away" if each["away"] else "ready" if each["ready"] else each["reason"]
        remaining = duration(each["remaining_s"])
        rows.append("  ".join(filter(None, [f"{each['id']:<20}", each["group"], each["state"], status, remaining])))
    return "\n".join(
        printable(row) for row in rows or ["no printer has joined the farm yet: `nozzled farm enrol` admits one"]
    )


async def _logs(farm: FarmClient, args: argparse.Namespace) -> Any:
    """Print the events; with --follow it never returns."""
    since = 0
    numbers: dict[str, int] = {}  # of jobs, by id; 0: no longer listed
    while True:
        events = (await farm.get("/log", {"since": str(since or -1), "limit": str(args.lines)}))["events"]
        if args.json and not args.follow:
            return events
        if not args.json and any(event["job"] and event["job"] not in numbers for event in events):
            listed = await farm.get("/jobs", {"state": "all", "limit": str(PAGE), "why": "false"})
            numbers = {event["job"]: 0 for event in events} | {job["id"]: job["number"] for job in listed["jobs"]}
        for event in events:
            since = max(since, event["number"])
            print(json.dumps(event) if args.json else printable(_event(event, numbers)), flush=True)
        if not args.follow:
            return []
        await asyncio.sleep(FOLLOW_INTERVAL)


def _event(event: dict[str, Any], numbers: dict[str, int]) -> str:
    when = datetime.fromtimestamp(event["at"]).strftime("%Y-%m-%d %H:%M:%S")  # noqa: DTZ006 - the reader's clock
    job = f"job {numbers.get(event['job']) or event['job']}" if event["job"] else ""
    printer = event["printer"] if event["printer"] != event["by"] else ""
    parts = [event["by"], event["what"], printer, job, event["copy"] and f"copy {event['copy']}", event["text"]]
    return "  ".join([when, *filter(None, parts)])


def _declare_logs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-f", "--follow", action="store_true", help="show further events as they happen")
    parser.add_argument("-n", "--lines", type=_count, default=50, metavar="N", help="at most N events (default: 50)")


# -- changing ------------------------------------------------------------------------------------------------------


def _declare_job(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job", metavar="JOB", help="number of the job, from `nozzled farm status`")


def _declare_move(parser: argparse.ArgumentParser) -> None:
    _declare_job(parser)
    parser.add_argument(
        "before",
        nargs="?",
        metavar="OTHER",
        help="job to put it before (default: after all others of its priority and due date)",
    )


def _declare_edit(parser: argparse.ArgumentParser) -> None:
    _declare_job(parser)
    _add_fields(parser)
    parser.add_argument("--copies", type=_count, metavar="N", help="copies in all, including those that are done")


def _declare_hand_over(parser: argparse.ArgumentParser) -> None:
    _declare_job(parser)
    parser.add_argument(
        "site", metavar="SITE", help="name of a site in the hub's configuration; a job cannot be taken back from a site"
    )


def _declare_copy(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("copy", metavar="COPY", help="id of the copy, from `nozzled farm why JOB`")


def _declare_settle(parser: argparse.ArgumentParser) -> None:
    _declare_copy(parser)
    parser.add_argument("state", choices=("done", "failed"), help="the result that you see at the printer")


def _declare_printer(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("printer", metavar="PRINTER", help="id of the printer, from `nozzled farm printers`")


def _act_on_job(verb: str) -> Callable[[FarmClient, argparse.Namespace], Awaitable[Any]]:
    async def act(farm: FarmClient, args: argparse.Namespace) -> Any:
        return await farm.post(f"/jobs/{quote(args.job, safe='')}/{verb}")

    return act


async def _cancel(farm: FarmClient, args: argparse.Namespace) -> Any:
    if args.copy:
        return await farm.post(f"/copies/{quote(args.job, safe='')}/cancel")
    await farm.delete(f"/jobs/{quote(args.job, safe='')}")
    return await farm.get(f"/jobs/{quote(args.job, safe='')}")


def _format_cancel(answer: dict[str, Any]) -> str:
    if "counts" not in answer:
        what = "is cancelled" if answer["state"] == "cancelled" else "ends when its printer or site has confirmed it"
        return printable(f"copy {answer['number']} {what}")
    if answer["site"] and answer["state"] not in ("done", "failed", "cancelled"):
        return printable(f"job {answer['number']} ends when the site {answer['site']} has confirmed it")
    printing = sum(answer["counts"][state] for state in ("claimed", "printing"))
    more = f"; {_copies(printing)} of it {'ends' if printing == 1 else 'end'} when the printers have confirmed it"
    return printable(f"job {answer['number']} is cancelled{more if printing else ''}")


def _format_held(job: dict[str, Any]) -> str:
    return f"job {job['number']} is {'on hold: no further copy begins' if job['held'] else 'released'}"


def _format_copy(copy: dict[str, Any]) -> str:
    return printable(f"copy {copy['number']} is {_describe_copy(copy)}")


def _declare_cancel(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job", metavar="JOB", help="number of the job; with --copy, the id of a copy")
    parser.add_argument("--copy", action="store_true", help="cancel one copy, not the job")


async def _edit(farm: FarmClient, args: argparse.Namespace) -> Any:
    path = f"/jobs/{quote(args.job, safe='')}"
    changes = _fields(args) | ({"copies": args.copies} if args.copies is not None else {})
    revision = (await farm.get(path))["revision"]
    return await farm.patch(path, {"revision": revision, **changes})


async def _move(farm: FarmClient, args: argparse.Namespace) -> Any:
    return await farm.post(f"/jobs/{quote(args.job, safe='')}/move", {"before": args.before})


async def _hand_over(farm: FarmClient, args: argparse.Namespace) -> Any:
    return await farm.post(f"/jobs/{quote(args.job, safe='')}/hand_over", {"site": args.site})


async def _again(farm: FarmClient, args: argparse.Namespace) -> Any:
    return await farm.post(f"/copies/{quote(args.copy, safe='')}/again")


async def _settle(farm: FarmClient, args: argparse.Namespace) -> Any:
    return await farm.post(f"/copies/{quote(args.copy, safe='')}/settle", {"state": args.state})


async def _clear(farm: FarmClient, args: argparse.Namespace) -> Any:
    await farm.post(f"/printers/{quote(args.printer, safe='')}/bed_clear")
    return {"printer": args.printer, "bed_clear": True}


# -- keys ------------------------------------------------------------------------------------------------------------


async def _keys(farm: FarmClient, args: argparse.Namespace) -> Any:
    if args.do == "list":
        return (await farm.get("/keys"))["keys"]
    if args.name is None:
        args.parser.error(f"`nozzled farm key {args.do}` needs the key's NAME")
    if args.do == "remove":
        await farm.delete(f"/keys/{quote(args.name, safe='')}")
        return [{"name": args.name, "scope": "removed"}]
    return [await farm.post("/keys", {"name": args.name, "scope": args.scope})]


def _declare_keys(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "do", choices=("list", "add", "remove"), help="list, add or remove keys; a key is shown only when it is added"
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="name of the key: the user or program that it is for")
    parser.add_argument(
        "--scope",
        choices=("read", "control", "admin"),
        default="control",
        help="what the key may do (default: control)",
    )


def _format_keys(keys: list[dict[str, Any]]) -> str:
    return "\n".join(printable(f"{key['name']:<20}  {key['scope']:<8}{key.get('key') or ''}".rstrip()) for key in keys)


_ACTIONS = {
    "submit": FarmAction("Submit files to the farm; each becomes a job.", _submit, arguments=_declare_submit),
    "status": FarmAction("Show the jobs, and why each waits.", _status, _format_status, _declare_status),
    "why": FarmAction("Show a job with its copies, and why it waits.", _why, _format_why, _declare_job),
    "edit": FarmAction("Change the fields of a job.", _edit, _describe_job, _declare_edit),
    "move": FarmAction(
        "Move a job before another one, or after all others of its priority and due date.",
        _move,
        lambda job: f"job {job['number']} is moved",
        _declare_move,
    ),
    "hold": FarmAction("Begin no more copies of a job.", _act_on_job("hold"), _format_held, _declare_job),
    "release": FarmAction(
        "Let further copies of a job on hold begin again.", _act_on_job("release"), _format_held, _declare_job
    ),
    "hand-over": FarmAction(
        "Hand a whole job over to another site, for good.",
        _hand_over,
        lambda job: printable(f"job {job['number']} is handed over to the site {job['site']}"),
        _declare_hand_over,
    ),
    "cancel": FarmAction("Cancel a job or one copy, even while it prints.", _cancel, _format_cancel, _declare_cancel),
    "again": FarmAction(
        "Print another copy in place of one that has failed or is an orphan.", _again, _format_copy, _declare_copy
    ),
    "settle": FarmAction(
        "Record the result of a copy whose printer is away, after looking at the printer.",
        _settle,
        _format_copy,
        _declare_settle,
    ),
    "printers": FarmAction("Show the printers, and why each is not ready.", _printers, _format_printers),
    "clear": FarmAction(
        "Confirm that the bed of a printer is clear.",
        _clear,
        lambda answer: printable(f"{answer['printer']}: its bed is clear"),
        _declare_printer,
    ),
    "logs": FarmAction("Show the events, who did what, the newest last.", _logs, arguments=_declare_logs),
    "key": FarmAction("List, add and remove keys of the farm.", _keys, _format_keys, _declare_keys),
}
