"""`nozzled resume-at`: a file that goes on where a lost print ended."""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from daemon.cli import remote
from daemon.cli.last_print import fetched
from daemon.cli.options import configured
from daemon.client import ClientError, OctoPrintClient
from daemon.core.job.resume_at import LIFT, PRIME, ResumePlace, place_behind, start_sequence
from daemon.errors import FileError
from daemon.packing.as_text import unpacked
from daemon.packing.kinds import plain_name
from gcode.reader import Reader

EXAMPLE = "nozzled resume-at part.gcode --height 23.4"

_BLOCK = 1024 * 1024  # bytes
_LAYER = 0.2  # mm, where nobody knows how thick one is
_REFUSED = 1

CHECK = f"""\
Before it is printed:
 1. The part still sticks to the bed, and nothing has moved it.
 2. Jog the nozzle onto the part until it just touches its top, {{top}} mm above the bed; over a place where the
    last layer is intact. That is all that the printer will know of its height: half a millimetre too low and it
    ploughs through the part.
 3. X and Y will home: from {LIFT:g} mm above that point to the corner the way has to be free. Z does not home, so
    what your start G-code does there (levelling, a mesh) is left out.
 4. {PRIME:g} mm of filament are pushed out in that corner; take them away."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument(
        "file",
        type=Path,
        nargs="?",
        metavar="FILE",
        help="the G-code file that was being printed (default: that of the last print, which has ended early; the "
        "layer that it was in is proposed, and the rest is printed)",
    )
    parser.add_argument("--plate", type=int, metavar="N", default=None, help="which plate of a .gcode.3mf")
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--layer", type=int, metavar="N", help="the first layer to print; `nozzled inspect` counts them")
    place.add_argument(
        "--height", type=float, metavar="MM", help="how high the part is: the layer above it is the first"
    )
    place.add_argument("--line", type=int, metavar="N", help="the first line to print, as an editor counts them")
    parser.add_argument("--output", type=Path, metavar="F", help="where to (default: FILE-resumed.gcode)")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--print", action="store_true", help="upload it and print it")
    remote.add_server(parser)


def run(args: argparse.Namespace) -> int:
    """Write the file, if that is what is wanted; print it, if that is.

    Raises:
        FileError: there is no such place, or a file cannot be read or written.
    """
    if args.file is None:
        return _of_last_print(args)
    if args.layer is None and args.height is None and args.line is None:
        raise FileError("name the place as well: --layer, --height or --line")
    return _of_file(args)


def _of_last_print(args: argparse.Namespace) -> int:
    """Go on with the print that ended last: where it was, unless another place is named."""
    with tempfile.TemporaryDirectory(prefix="nozzled-") as folder:
        found = fetched(args, Path(folder))
        if isinstance(found, int):
            return found
        args.file = found.file
        if args.output is None:
            args.print = True
            plain = Path(plain_name(found.file.name))
            args.output = Path(folder) / f"{plain.stem}-resumed{plain.suffix}"
        layer, layers, height = _layer_at(args, found.offset)
        print(found.told(layer, layers, height), file=sys.stderr)
        if args.layer is None and args.height is None and args.line is None:
            args.layer = layer
        return _of_file(args)


def _layer_at(args: argparse.Namespace, offset: int) -> tuple[int, int, float | None]:
    """Return in which layer a line is, of how many, and at which height."""
    # loads NumPy
    from daemon.front.analysis.reading import analyse, machine  # noqa: PLC0415 - as said

    layers = analyse(args.file, machine(configured(args).profile)).layers
    number = sum(layer.offset <= offset for layer in layers)
    if not number:
        raise FileError(f"{args.file.name} had not begun its first layer: print the whole file")
    return number, len(layers), layers[number - 1].z


def _of_file(args: argparse.Namespace) -> int:
    plain = args.file.with_name(plain_name(args.file.name))
    output = args.output or plain.with_name(f"{plain.stem}-resumed{plain.suffix}")
    if output.absolute() == args.file.absolute():
        raise FileError(f"{output} is the file itself: give another name with --output")
    with unpacked(args.file, args.plate) as args.file:
        if not _written(args, output):
            return _REFUSED
    if not args.print:
        print(output)
        return 0
    args.action = remote.Action("", _print, lambda _: f"{output.name}  (printing)")
    args.output = output
    return remote.run(args)


def _written(args: argparse.Namespace, output: Path) -> bool:
    """Write the file, if that is what is wanted; tell whether it was."""
    try:
        offset = _offset(args)
        place = place_behind(_commands(args.file), offset)
        print(_told(args.file, offset, place), file=sys.stderr)
        if not args.yes and not _agreed(output, printed=args.print):
            print("nozzled: nothing was written", file=sys.stderr)
            return False
        _write(args.file, offset, place, output)
    except OSError as error:
        raise FileError(f"{error.filename}: {error.strerror}") from error
    return True


def _offset(args: argparse.Namespace) -> int:
    """Return where the first line to print begins, in bytes."""
    if args.line is not None:
        return _offset_of_line(args.file, args.line)
    # loads NumPy
    from daemon.front.analysis.reading import analyse, machine  # noqa: PLC0415 - as said

    layers = analyse(args.file, machine(configured(args).profile)).layers
    if args.layer is None:
        above = [each for each in layers if each.z is not None and each.z - (each.height or _LAYER) / 2 > args.height]
        if not above:
            raise FileError(f"{args.file} has no layer above {args.height:g} mm")
        return above[0].offset
    number: int = args.layer
    if not 1 <= number <= len(layers):
        raise FileError(f"{args.file} has layers 1 to {len(layers)}, not {number}")
    return layers[number - 1].offset


def _offset_of_line(path: Path, wanted: int) -> int:
    offset = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if number == wanted:
                return offset
            offset += len(line)
    raise FileError(f"{path} has no line {wanted}")


def _commands(path: Path) -> Iterator[tuple[int, bytes]]:
    reader = Reader()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            reader.feed(block)
            yield from reader
    reader.finish()
    yield from reader


def _told(path: Path, offset: int, place: ResumePlace) -> str:
    heat = ", ".join(f"{name} {target:g} °C" for name, target in place.targets.items() if target)
    at = place.axes
    where = f"X{at['X']:.1f} Y{at['Y']:.1f} Z{at['Z']:.2f}"
    top = f"{place.top or 0.0:.2f}"
    return f"{path.name} goes on at byte {offset}: {where}; {heat or 'nothing is heated'}\n{CHECK.format(top=top)}"


def _agreed(output: Path, *, printed: bool) -> bool:
    """Ask; nobody there to answer is no."""
    what = ("Replace" if output.exists() else "Write") + (" and print" if printed else "")
    name = output.name if printed else output
    print(f"{what} {name}? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _write(source: Path, offset: int, place: ResumePlace, output: Path) -> None:
    with source.open("rb") as file, output.open("wb") as to:
        to.write(f"; {remote.printable(source.name)} from byte {offset} on\n".encode())
        to.writelines(f"{command}\n".encode() for command in start_sequence(place))
        file.seek(offset)
        while block := file.read(_BLOCK):
            to.write(block)


async def _print(client: OctoPrintClient, args: argparse.Namespace) -> Any:
    try:
        answer = await client.files.upload(args.output, start=True)
    except OSError as error:
        raise ClientError(f"{args.output}: {error.strerror or error}") from error
    if not answer["effectivePrint"]:
        raise ClientError("the file is uploaded, but not printed: the printer is not ready for it")
    return answer
