"""`nozzled history`: past prints, their totals, and a table of all of them."""

import argparse
from datetime import datetime
from typing import Any

from daemon.cli.remote import Action, add_actions, duration, printable, run
from daemon.client import OctoPrintClient

__all__ = ["EXAMPLE", "arguments", "run"]

EXAMPLE = "nozzled history totals --by month"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    add_actions(parser, _ACTIONS)


def _declare_filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--state", metavar="S", help="completed, failed, cancelled or interrupted; several with commas")
    parser.add_argument("--path", metavar="P", help="prints of this file")
    parser.add_argument("--search", metavar="T", help="prints with this text in the path")
    parser.add_argument("--material", metavar="M", help="prints of this material")
    parser.add_argument(
        "--from", dest="since", type=_date, metavar="DAY", help="started on this day or later, like 2026-11-28"
    )
    parser.add_argument("--to", dest="until", type=_date, metavar="DAY", help="started before this day")


def _date(text: str) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a date: write it as 2026-11-28") from None


def _query(args: argparse.Namespace, **more: str) -> dict[str, str]:
    filters = {"state": args.state, "path": args.path, "q": args.search, "material": args.material}
    filters |= {"from": args.since, "to": args.until}
    return {name: str(value) for name, value in filters.items() if value is not None} | more


def _declare_list(parser: argparse.ArgumentParser) -> None:
    _declare_filters(parser)
    parser.add_argument(
        "--limit", type=int, default=20, metavar="N", help="number of prints, the newest first (default: 20)"
    )


async def _list(client: OctoPrintClient, args: argparse.Namespace) -> Any:
    return (await client.history.list(**_query(args, limit=str(args.limit))))["jobs"]


def _format(jobs: list[dict[str, Any]]) -> str:
    return "\n".join(printable(_row(job)) for job in jobs) or "no prints"


def _row(job: dict[str, Any]) -> str:
    start = datetime.fromtimestamp(job["started"]).strftime("%Y-%m-%d %H:%M")  # noqa: DTZ006 - as the clock here shows it
    filament = "" if job["filamentLength"] is None else f"{job['filamentLength'] / 1000:.2f} m"
    more = [text for text in (filament, job["material"], job["reason"]) if text]
    return "  ".join(
        [f"{job['id']:>5}  {start}  {job['state']:<11}  {duration(job['printTime']):>8}  {job['path']}", *more]
    )


def _declare_totals(parser: argparse.ArgumentParser) -> None:
    _declare_filters(parser)
    parser.add_argument("--by", choices=("month", "material", "state", "printer", "path"), default="month")


async def _totals(client: OctoPrintClient, args: argparse.Namespace) -> Any:
    return await client.history.totals(**_query(args, by=args.by))


def _format_totals(totals: dict[str, Any]) -> str:
    rows = [(each["name"] or "unknown", each) for each in totals["totals"]] + [("all", totals["all"])]
    return "\n".join(printable(_total(name, each)) for name, each in rows)


def _total(name: str, each: dict[str, Any]) -> str:
    filament = "" if each["filamentLength"] is None else f"  {each['filamentLength'] / 1000:.1f} m"
    weight = "" if each["filamentWeight"] is None else f"  {each['filamentWeight']:.0f} g"
    count = "1 print" if each["prints"] == 1 else f"{each['prints']} prints"
    return f"{name:<16}  {count}, {each['completed']} completed  {duration(each['printTime'] or 0)}{filament}{weight}"


async def _csv(client: OctoPrintClient, args: argparse.Namespace) -> str:
    return await client.history.csv(**_query(args))


_ACTIONS = {
    "list": Action("Show prints, the newest first.", _list, _format, _declare_list),
    "totals": Action("Show totals of time and filament.", _totals, _format_totals, _declare_totals),
    "csv": Action(
        "Write all prints as a table (CSV) for a spreadsheet.", _csv, lambda text: text.rstrip(), _declare_filters
    ),
}
