"""`nozzled files`: list, upload, select, print and delete files."""

import argparse
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tqdm import tqdm

from daemon.cli.remote import Action, NotPrinted, accepted_text, add_actions, in_cli_words, printable, run
from daemon.client import ClientError, OctoPrintClient
from daemon.client.shapes import FileEntry, FileList, UploadAnswer

__all__ = ["EXAMPLE", "arguments", "run"]

EXAMPLE = "nozzled files upload --print cube.gcode"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    add_actions(parser, _ACTIONS)


def _declare_list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--recursive", action="store_true", help="include the contents of folders")


async def _list(client: OctoPrintClient, args: argparse.Namespace) -> FileList:
    return await client.files.list(recursive=args.recursive)


def _format(answer: FileList) -> str:
    lines = [line for entry in answer["files"] for line in _rows(entry)]
    if (free := answer.get("free")) is not None:
        lines.append(f"{free / 1e9:.1f} GB free")
    return "\n".join(lines)


def _rows(entry: FileEntry) -> list[str]:
    """Return a line for an entry and for each entry below it."""
    folder = entry.get("type") == "folder"
    size = "" if folder else f"{(entry.get('size') or 0) / 1000:,.0f} kB"
    date = entry.get("date")
    when = datetime.fromtimestamp(date, UTC).astimezone().strftime("%Y-%m-%d %H:%M") if date else ""
    prefix = "sdcard:" if entry["origin"] == "sdcard" else ""
    line = f"{size:>12}  {when:<16}  {prefix}{printable(entry['path'])}{'/' if folder else ''}"
    return [line, *(row for child in entry.get("children", []) for row in _rows(child))]


def _declare_upload(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE")
    parser.add_argument("--folder", default="", metavar="D", help="folder to put them in; created if necessary")
    parser.add_argument("--select", action="store_true", help="select the file (the last one, if there are several)")
    parser.add_argument("--print", action="store_true", help="select the file and print it")
    parser.add_argument("--force", action="store_true", help="print it even if the checks refuse it")
    parser.add_argument("--plate", type=int, metavar="N", default=None, help="which plate of a .gcode.3mf")
    parser.add_argument("--keep", action="store_true", help="fail if a file of this name exists")


async def _upload(client: OctoPrintClient, args: argparse.Namespace) -> list[UploadAnswer]:
    """Upload the files one by one; only the last one is selected or printed."""
    answers = []
    for path in args.files:
        last = path is args.files[-1]
        with closing(_UploadBar(path.name, shown=sys.stderr.isatty() and not args.json)) as bar:
            try:
                answers.append(
                    await client.files.upload(
                        path,
                        folder=args.folder,
                        plate=args.plate,
                        select=args.select and last,
                        start=args.print and last,
                        force=args.force and args.print and last,
                        overwrite=not args.keep,
                        progress=bar.show,
                    )
                )
            except OSError as error:
                raise ClientError(f"cannot read {path}: {error.strerror or error}") from error
    if args.print and not answers[-1]["effectivePrint"]:
        reason = answers[-1].get("notPrinted", "the printer is not ready for it")
        raise NotPrinted(f"the file was uploaded but not printed: {in_cli_words(reason)}")
    return answers


class _UploadBar:
    """The progress of an upload, on a terminal."""

    def __init__(self, name: str, *, shown: bool) -> None:
        form = "{desc}  {percentage:3.0f}% |{bar}| {n_fmt} of {total_fmt}B, {rate_fmt}"
        self._bar = tqdm(desc=printable(name), unit="B", unit_scale=True, total=1, bar_format=form, disable=not shown)

    def show(self, sent: int, total: int) -> None:
        self._bar.total = total
        self._bar.update(sent - self._bar.n)

    def close(self) -> None:
        self._bar.close()


def _format_uploads(answers: list[UploadAnswer]) -> str:
    paths = (answer["files"]["local"]["path"] for answer in answers)
    done = "printing" if answers[-1]["effectivePrint"] else "selected" if answers[-1]["effectiveSelect"] else ""
    return "\n".join(map(printable, paths)) + (f"  ({done})" if done else "")


def _declare_one(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="PATH", help="as the list shows it")


def _declare_some(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", nargs="+", metavar="PATH", help="as the list shows it; folders go with their contents")


async def _delete(client: OctoPrintClient, args: argparse.Namespace) -> None:
    for path in args.paths:
        await client.files.delete(path)


async def _select(client: OctoPrintClient, args: argparse.Namespace) -> Any:
    await client.files.select(args.path)


def _declare_print(parser: argparse.ArgumentParser) -> None:
    _declare_one(parser)
    parser.add_argument("--force", action="store_true", help="print it even if the checks refuse it")


async def _print(client: OctoPrintClient, args: argparse.Namespace) -> Any:
    await client.files.select(args.path, start=True, force=args.force)


_ACTIONS = {
    "list": Action("List the files.", _list, _format, _declare_list),
    "upload": Action("Upload files.", _upload, _format_uploads, _declare_upload),
    "select": Action("Make a file the one that `nozzled job start` prints.", _select, arguments=_declare_one),
    "print": Action("Select a file and print it.", _print, accepted_text, _declare_print),
    "delete": Action("Delete files or folders.", _delete, arguments=_declare_some),
}
