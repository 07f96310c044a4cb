"""`nozzled resume-at`: a file that continues a lost print."""

import argparse
import os
import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import IO, Any

from daemon.cli import last_print, remote
from daemon.cli.options import configured
from daemon.client import ClientError, OctoPrintClient
from daemon.config import Config
from daemon.errors import FileError
from daemon.front.resuming.place import LIFT, PRIME
from daemon.front.resuming.proposal import Proposal, ResumeTarget, propose, temperatures_text, warnings
from daemon.packing.as_text import open_unpacked, temporary_folder
from daemon.packing.kinds import plain_name

EXAMPLE = "nozzled resume-at part.gcode --height 23.4"

_REFUSED = 1
_PERMISSIONS = 0o666

CHECK = f"""\
Before it is printed:
 1. Check that the part still sticks to the bed and has not moved.
 2. Choose a spot where the last layer is intact, and jog the nozzle down until it just touches the part, {{top}} mm
    above the bed. This is the only height reference: half a millimetre too low and the nozzle ploughs through
    the part.
 3. X and Y will home: the way from {LIFT:g} mm above that spot to the corner must be free. Z does not home, so
    levelling and mesh commands of your start G-code are left out.
 4. {PRIME:g} mm of filament are extruded in that corner; remove them."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument(
        "file",
        type=Path,
        nargs="?",
        metavar="FILE",
        help="the G-code file that was being printed (default: the file of the last print, from its last layer on, if "
        "that print ended early)",
    )
    parser.add_argument("--plate", type=int, metavar="N", default=None, help="which plate of a .gcode.3mf")
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--layer", type=int, metavar="N", help="the first layer to print; `nozzled inspect` counts them")
    place.add_argument("--height", type=float, metavar="MM", help="height of the part: the layer above it is the first")
    place.add_argument("--line", type=int, metavar="N", help="the first line to print, as an editor counts them")
    parser.add_argument("--output", type=Path, metavar="F", help="output file (default: FILE-resumed.gcode)")
    parser.add_argument("--yes", action="store_true", help="do not ask for confirmation")
    parser.add_argument("--print", action="store_true", help="upload the file and print it")
    remote.add_server(parser)


def run(args: argparse.Namespace) -> int:
    """Write the file or print the rest, depending on the options.

    Raises:
        FileError: the file has no such place, or a file cannot be read or written.
    """
    if args.file is None:
        return _continue_last_print(args)
    if args.layer is None and args.height is None and args.line is None:
        raise FileError("say where to continue: --layer, --height or --line")
    return _continue_file(args)


def _continue_last_print(args: argparse.Namespace) -> int:
    """Continue the last print: at the start of a layer that the daemon chooses, unless a place is named."""
    if args.output is None:
        return last_print.resume(args, _check, partial(_ask_user, printed=True))
    with temporary_folder() as folder:
        return last_print.fetch(args, folder) or _continue_file(args)


def _continue_file(args: argparse.Namespace) -> int:
    plain = args.file.with_name(plain_name(args.file.name))
    output = args.output or plain.with_name(f"{plain.stem}-resumed{plain.suffix}")
    if output.exists() and output.samefile(args.file):
        raise FileError(f"{output} is the input file: choose another name with --output")
    with open_unpacked(args.file, args.plate) as args.file:
        if not _write_if_agreed(args, output):
            return _REFUSED
    if not args.print:
        print(output)
        return 0
    args.action = remote.Action("", _print, lambda _: f"{output.name}  (printing)")
    args.output = output
    return remote.run(args)


def _write_if_agreed(args: argparse.Namespace, output: Path) -> bool:
    """Write the file if the user agrees; tell whether it was written."""
    config = configured(args)
    proposal = _propose(args, config)
    print(_describe(args.file, proposal), *_notes(proposal, config), _check(proposal.top), sep="\n", file=sys.stderr)
    if not args.yes and not _ask_user(str(output.name if args.print else output), output, printed=args.print):
        print("nozzled: nothing was written", file=sys.stderr)
        return False
    try:
        _write(args.file, proposal, output)
    except OSError as error:
        raise FileError(f"cannot write {output}: {error.strerror}") from error
    return True


def _propose(args: argparse.Namespace, config: Config) -> Proposal:
    from daemon.front.analysis.file_analysis import analyse, dialect_of, machine  # noqa: PLC0415 - loads NumPy

    layers = analyse(args.file, machine(config.profile)).layers
    dialect = dialect_of(config.profile)
    target = ResumeTarget(args.layer, args.height, args.line)
    return propose(args.file, target, layers, dialect.e_mode if dialect is not None else None)


def _check(top: float) -> str:
    return CHECK.format(top=f"{top:.2f}")


def _describe(path: Path, proposal: Proposal) -> str:
    at = proposal.at
    where = f"X{at['X']:.1f} Y{at['Y']:.1f} Z{at['Z']:.2f}"
    heat = temperatures_text(proposal.temperatures) or "nothing is heated"
    return f"{path.name} continues at byte {proposal.offset}: {where}; {heat}"


def _notes(proposal: Proposal, config: Config) -> list[str]:
    return [f"Note: {each}" for each in warnings(proposal, config.scripts)]


def _ask_user(name: str, output: Path | None = None, *, printed: bool) -> bool:
    """Ask the user; tell whether the answer is yes. No input means no."""
    what = ("Replace" if output is not None and output.exists() else "Write") + (" and print" if printed else "")
    print(f"{what} {name}? [y/N] ", end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):  # no input: what follows gets a line of its own
        print(file=sys.stderr)
    return answer.strip().lower() in ("y", "yes")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _write(source: Path, proposal: Proposal, output: Path) -> None:
    """Write the file; if this fails, no part of it is left."""
    if output.exists() and not output.is_file():  # a pipe, a device
        with output.open("wb") as to:
            _copy(source, proposal, to)
        return
    with tempfile.NamedTemporaryFile(dir=output.parent, prefix=".nozzled-", delete=False) as to:
        temporary = Path(to.name)
        try:
            _copy(source, proposal, to)
            to.flush()
            temporary.chmod(_PERMISSIONS & ~_umask())
            temporary.replace(output)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def _copy(source: Path, proposal: Proposal, to: IO[bytes]) -> None:
    to.write(proposal.head(source.name))
    with source.open("rb") as file:
        file.seek(proposal.offset)
        shutil.copyfileobj(file, to)


async def _print(client: OctoPrintClient, args: argparse.Namespace) -> Any:
    state = (await client.printer.get(exclude=("temperature", "sd")))["state"]
    if not state["flags"]["ready"]:
        raise ClientError(f"nothing was uploaded: the printer is not ready ({state['text']})")
    try:
        answer = await client.files.upload(args.output)
    except OSError as error:
        raise ClientError(f"cannot read {args.output}: {error.strerror or error}") from error
    await client.files.select(answer["files"]["local"]["path"], start=True, touches=True)
    return answer
