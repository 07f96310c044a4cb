"""Makes a film of pictures by ffmpeg: at the lowest priority, with bounded memory, in one thread, without a shell."""

import asyncio
import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from gcode.frozen import frozen

MIB = 1024 * 1024
MIN_MEMORY = 600 * MIB  # bytes; with less, pictures are copied instead of encoded
RENDER_TIMEOUT = 6 * 3600.0  # for one film
MAX_OUTPUT = 4000  # characters at the end of ffmpeg's output
PROBE_TIMEOUT = 5.0
RUNTIME = Path("/run/systemd/system")


@frozen
class FilmLook:
    """The film's maximum height in pixels (0: that of the pictures), and how the pictures are turned."""

    height: int = 720
    flip_h: bool = False
    flip_v: bool = False
    rotate: bool = False


class RenderFailed(Exception):
    """Making a film failed; the text says why.

    Attributes:
        code: ffmpeg's exit code.
        words: ffmpeg's output.
    """

    def __init__(self, reason: str, code: int = 255, words: str = "") -> None:
        super().__init__(reason)
        self.code = code
        self.words = words


def encode_arguments(fps: int, post_roll: int, look: FilmLook, out: Path) -> list[str]:
    """Return ffmpeg's arguments for a film in H.264; it runs in the folder of the pictures."""
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


def copy_arguments(fps: int, out: Path) -> list[str]:
    """Return ffmpeg's arguments for a film of the unchanged pictures."""
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
            return int(value.split()[0]) * 1024 < MIN_MEMORY
    return False


async def find_limits(memory_mib: int, environ: Mapping[str, str] = os.environ) -> list[str]:
    """Return the command that runs ffmpeg with limits: in a scope of systemd if possible, else by prlimit."""
    nice = ["nice", "-n", "19"]
    kind = [] if os.geteuid() == 0 else ["--user"]
    has_systemd = await asyncio.to_thread(RUNTIME.is_dir)
    if has_systemd and shutil.which("systemd-run") and (not kind or "XDG_RUNTIME_DIR" in environ):
        properties = [f"--property={each}" for each in ("CPUWeight=1", "IOWeight=1", f"MemoryMax={memory_mib}M")]
        scope = ["systemd-run", *kind, "--scope", "--quiet", "--collect", *properties]
        if await _can_run([*scope, "true"]):
            return [*scope, *nice]
    limit = shutil.which("prlimit")
    return [*nice, *([limit, f"--as={memory_mib * MIB}"] if limit else [])]


async def _can_run(command: Sequence[str]) -> bool:
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        async with asyncio.timeout(PROBE_TIMEOUT):
            return await process.wait() == 0
    except (OSError, TimeoutError):
        return False


async def run(command: Sequence[str], folder: Path) -> None:
    """Run ffmpeg in a folder; cancelling kills it.

    Raises:
        RenderFailed: it cannot be run, fails, or takes too long.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise RenderFailed(f"cannot run {command[0]}: {error.strerror}") from error
    output = bytearray()
    try:
        async with asyncio.timeout(RENDER_TIMEOUT):
            if process.stderr is not None:
                while block := await process.stderr.read(4096):
                    output += block
                    del output[:-MAX_OUTPUT]
            code = await process.wait()
    except TimeoutError:
        raise RenderFailed(f"it took more than {RENDER_TIMEOUT / 3600:g} h") from None
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    if code:
        text = output.decode("utf-8", "replace").strip()
        raise RenderFailed(text.splitlines()[-1][:200] if text else f"ffmpeg ended with {code}", code, text)
