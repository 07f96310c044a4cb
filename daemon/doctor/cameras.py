"""Checks of cameras: whether those that are configured answer, and what runs on this machine otherwise."""

import json
from collections.abc import Iterator
from urllib.parse import quote

from daemon.camera.addresses import FIRST, all_of, needs_us, snapshot_of
from daemon.camera.fetch import without_secrets
from daemon.doctor.finding import Finding, Subject, good, note
from daemon.doctor.view import View
from gcode.frozen import frozen

STILLS = ("/snapshot", "/?action=snapshot")
MOST_NAMED = 5  # streams of go2rtc


@frozen
class _Streamer:
    """A camera's program that was found, and the keys of [webcam] for it."""

    name: str
    keys: dict[str, str]


def cameras(view: View, subject: Subject) -> Iterator[Finding]:
    """Look whether the cameras give pictures; where none is configured, look for programs that would."""
    known = all_of(subject.config.webcam)
    for name, camera in known.items():
        url = snapshot_of(camera)
        if not url or not needs_us(url):
            continue  # of another computer: nobody is asked
        shown_name = camera.name if name != FIRST else "the camera"
        kind = view.fetch(url)
        if kind is None:
            yield note(
                f"{shown_name} does not answer at {without_secrets(url)}",
                "start its program, or mend the address in [webcam]",
            )
        elif not kind[0].startswith(("image/jpeg", "multipart/")):
            yield note(
                f"{shown_name} gives {kind[0] or 'nothing'} at {without_secrets(url)}, and no picture", "docs/camera.md"
            )
        else:
            yield good(f"{shown_name} answers at {without_secrets(url)}")
    if known:
        return
    for found in _streamers(view):
        keys = ", ".join(f'{key} = "{value}"' for key, value in found.keys.items())
        yield note(f"a camera's program runs here: {found.name}", f"[webcam] {keys}; or in the page, under Settings")


def _streamers(view: View) -> Iterator[_Streamer]:
    """Look at the ports where such programs listen by themselves."""
    for port in (8080, 8081):
        yield from _of_stills(view, port)
    yield from _of_go2rtc(view)
    for port, key in ((8889, "webrtc_url"), (8888, "hls_url")):
        answer = view.fetch(f"http://127.0.0.1:{port}/", any_status=True)
        if answer is not None and "mediamtx" in answer[1].lower():
            yield _Streamer("mediamtx", {key: f"http://THIS-COMPUTER:{port}/NAME"})


def _of_stills(view: View, port: int) -> Iterator[_Streamer]:
    base = f"http://127.0.0.1:{port}"
    for path in STILLS:
        answer = view.fetch(f"{base}{path}")
        if answer is not None and answer[0].startswith("image/jpeg"):
            live = path.replace("snapshot", "stream")
            name = answer[1].partition("/")[0] or "something that gives pictures"
            yield _Streamer(name[:40], {"stream_url": f"{base}{live}", "snapshot_url": f"{base}{path}"})
            return


def _of_go2rtc(view: View) -> Iterator[_Streamer]:
    answer = view.fetch("http://127.0.0.1:1984/api/streams")
    try:
        names = [*json.loads(answer[2])] if answer is not None else []
    except ValueError:
        return
    for name in names[:MOST_NAMED]:
        source = quote(str(name), safe="")
        at = "http://127.0.0.1:1984/api"
        yield _Streamer(
            f"go2rtc with {str(name)[:40]!r}",
            {"stream_url": f"{at}/stream.mjpeg?src={source}", "snapshot_url": f"{at}/frame.jpeg?src={source}"},
        )


CHECKS = (cameras,)
