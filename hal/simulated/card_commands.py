"""Commands of the SD card: list, print, delete. Uploads are refused, as by a Marlin with SDCARD_READONLY."""

from gcode.command import Command
from hal.simulated.board import Board, read_interval


def _list(board: Board, command: Command) -> None:
    """M20; L adds the long names."""
    board.say("Begin file list")
    for name, content in board.sd.files.items():
        board.say(
            f"{_short_name(name)} {len(content)} {name}" if "L" in command else f"{_short_name(name)} {len(content)}"
        )
    board.say("End file list")


def _short_name(name: str) -> str:
    """Return the short name (8.3) of a file."""
    stem, dot, suffix = name.upper().rpartition(".")
    stem, suffix = (stem, suffix[:3]) if dot else (suffix, "")
    stem = stem if len(stem) <= 8 else f"{stem[:6]}~1"  # noqa: PLR2004 - 8.3
    return f"{stem}.{suffix}" if suffix else stem


def _mount(board: Board, _command: Command) -> None:
    """M21."""
    board.say("echo:SD card ok")


def _release(board: Board, _command: Command) -> None:
    """M22."""
    board.sd.stop()


def _select(board: Board, command: Command) -> None:
    """M23."""
    board.sd.select(_find_long_name(board, command.text))


def _find_long_name(board: Board, name: str) -> str:
    """Return the long name of the file with this short name; any other name is returned as it is."""
    short = name.strip().lstrip("/").upper()
    return next((each for each in board.sd.files if _short_name(each) == short), name)


def _start(board: Board, command: Command) -> None:
    """M24; S: from this byte."""
    if "S" in command:
        board.sd.seek(int(command.number("S", 0)))
    board.sd.print()


def _pause(board: Board, _command: Command) -> None:
    """M25."""
    if board.sd.is_printing:
        board.sd.pause()
        board.send_action("paused")


def _seek(board: Board, command: Command) -> None:
    """M26."""
    board.sd.seek(int(command.number("S", 0)))


def _status(board: Board, command: Command) -> None:
    """M27: report the progress of the print from the SD card; S: every S seconds."""
    if "S" in command and board.config.autoreport:
        board.sd.report_every(read_interval(command), board.now)
    else:
        board.sd.report(board.now)


def _upload(board: Board, command: Command) -> None:
    """M28: refused, so the lines that follow are executed."""
    board.say(f"open failed, File: {command.text.strip()}.")


def _end_upload(board: Board, _command: Command) -> None:
    """M29."""
    board.say("Done saving file.")


def _delete(board: Board, command: Command) -> None:
    """M30."""
    name = command.text.strip()
    stored = board.sd.find(_find_long_name(board, name))
    if stored is None:
        board.say(f"Deletion failed, File: {name}.")
    else:
        del board.sd.files[stored]
        board.say(f"File deleted:{name}")


def _select_and_start(board: Board, command: Command) -> None:
    """M32: the name is between `!` and `#`."""
    board.sd.select(_find_long_name(board, command.text.partition("!")[2].partition("#")[0] or command.text))
    board.sd.print()


def _report_long_name(board: Board, command: Command) -> None:
    """M33."""
    board.say(f"/{_find_long_name(board, command.text).strip().lstrip('/')}")


def _abort(board: Board, _command: Command) -> None:
    """M524."""
    board.sd.stop()


TABLE = {
    "M20": _list,
    "M21": _mount,
    "M22": _release,
    "M23": _select,
    "M24": _start,
    "M25": _pause,
    "M26": _seek,
    "M27": _status,
    "M28": _upload,
    "M29": _end_upload,
    "M30": _delete,
    "M32": _select_and_start,
    "M33": _report_long_name,
    "M524": _abort,
}
