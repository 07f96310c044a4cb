"""A film of a print's pictures, by ffmpeg: with the lowest priority, bounded memory, one thread, and no shell."""

import asyncio
import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from gcode.frozen import frozen

MIB = 1024 * 1024
SMALL = 600 * MIB  # bytes of memory below which nothing is encoded
SLOWEST = 6 * 3600.0  # s for one film
MOST_WORDS = 4000  # characters of what ffmpeg says in the end
PROBE = 5.0  # s
RUNTIME = Path("/run/systemd/system")


@frozen
class FilmLook:
    """How the film is to look: lines at most (0: all), and how the pictures are to be turned."""

    height: int = 720
    flip_h: bool = False
    flip_v: bool = False
    rotate: bool = False


class RenderFailed(Exception):
    """There is no film; says why.

    Attributes:
        code: what ffmpeg ended with.
        words: what it said.
    """

    def __init__(self, reason: str, code: int = 255, words: str = "") -> None:
        super().__init__(reason)
        self.code = code
        self.words = words


def arguments(fps: int, post_roll: int, look: FilmLook, out: Path) -> list[str]:
    """Return the words behind `ffmpeg` for a film in H.264; it runs in the folder of the pictures."""
    filters = [
        *(["hflip"] if look.flip_h else []),
        *(["vflip"] if look.flip_v else []),
        *(["transpose=2"] if look.rotate else []),
        f"scale=-2:'min({look.height},trunc(ih/2)*2)'" if look.height else "scale=trunc(iw/2)*2:trunc(ih/2)*2",
        *([f"tpad=stop_mode=clone:stop_duration={post_roll}"] if post_roll else []),
        "format=yuv420p",
    ]
    return [
        *_input(fps),
        "-vf", ",".join(filters), "-c:v", "libx264", "-preset", "veryfast", "-crf", "23", "-threads", "1",
        "-movflags", "+faststart", "-f", "mp4", "-y", str(out),
    ]  # fmt: skip


def copying(fps: int, out: Path) -> list[str]:
    """Return the words behind `ffmpeg` for a film of the pictures as they are."""
    return [*_input(fps), "-c:v", "copy", "-f", "matroska", "-y", str(out)]


def _input(fps: int) -> list[str]:
    return [
        "-nostdin", "-hide_banner", "-loglevel", "error", "-threads", "1", "-filter_threads", "1",
        "-f", "image2", "-framerate", str(fps), "-i", "%06d.jpg",
    ]  # fmt: skip


def is_small(meminfo: str) -> bool:
    """Tell by /proc/meminfo whether this computer has too little memory to encode."""
    for line in meminfo.splitlines():
        name, _, value = line.partition(":")
        if name == "MemTotal":
            return int(value.split()[0]) * 1024 < SMALL
    return False


async def bounds(memory_mib: int, environ: Mapping[str, str] = os.environ) -> list[str]:
    """Return the words before ffmpeg: for a scope of systemd's where that may be had, else for a limit of its own."""
    nice = ["nice", "-n", "19"]
    kind = [] if os.geteuid() == 0 else ["--user"]
    runs = await asyncio.to_thread(RUNTIME.is_dir)
    if runs and shutil.which("systemd-run") and (not kind or "XDG_RUNTIME_DIR" in environ):
        properties = [f"--property={each}" for each in ("CPUWeight=1", "IOWeight=1", f"MemoryMax={memory_mib}M")]
        scope = ["systemd-run", *kind, "--scope", "--quiet", "--collect", *properties]
        if await _works([*scope, "true"]):
            return [*scope, *nice]
    limit = shutil.which("prlimit")
    return [*nice, *([limit, f"--as={memory_mib * MIB}"] if limit else [])]


async def _works(words: Sequence[str]) -> bool:
    try:
        process = await asyncio.create_subprocess_exec(
            *words, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        async with asyncio.timeout(PROBE):
            return await process.wait() == 0
    except (OSError, TimeoutError):
        return False


async def run(words: Sequence[str], folder: Path) -> None:
    """Run ffmpeg in a folder; whoever gives up waiting ends it.

    Raises:
        RenderFailed: it cannot be run, has failed, or takes too long.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *words,
            cwd=folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise RenderFailed(f"{words[0]} cannot be run: {error.strerror}") from error
    said = bytearray()
    try:
        async with asyncio.timeout(SLOWEST):
            if process.stderr is not None:
                while block := await process.stderr.read(4096):
                    said += block
                    del said[:-MOST_WORDS]
            code = await process.wait()
    except TimeoutError:
        raise RenderFailed(f"it took more than {SLOWEST / 3600:g} h") from None
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    if code:
        text = said.decode("utf-8", "replace").strip()
        raise RenderFailed(text.splitlines()[-1][:200] if text else f"ffmpeg ended with {code}", code, text)
