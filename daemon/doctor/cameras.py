"""Checks of this computer's cameras: whether those configured answer; if there are none, which camera programs run."""

import json
from collections.abc import Iterator
from urllib.parse import quote

from daemon.camera.addresses import FIRST, cameras_of, is_on_this_computer, snapshot_of
from daemon.camera.fetch import without_secrets
from daemon.doctor.finding import Finding, Subject, good, note
from daemon.doctor.view import View
from gcode.frozen import frozen

STILL_PATHS = ("/snapshot", "/?action=snapshot")
MAX_STREAMS = 5  # of go2rtc that are listed


@frozen
class _Streamer:
    """A camera program, and the keys of [webcam] for it."""

    name: str
    keys: dict[str, str]


def cameras(view: View, subject: Subject) -> Iterator[Finding]:
    """Whether this computer's cameras deliver pictures; if none is configured, whether a camera program runs here."""
    configured = cameras_of(subject.config.webcam)
    for name, camera in configured.items():
        url = snapshot_of(camera)
        if not url or not is_on_this_computer(url):
            continue  # on another computer, which is not asked
        shown_name = camera.name if name != FIRST else "the camera"
        answer = view.fetch(url)
        if answer is None:
            yield note(
                f"{shown_name} does not answer at {without_secrets(url)}",
                "start its program, or correct its address in [webcam]",
            )
        elif not answer.content_type.startswith(("image/jpeg", "multipart/")):
            sent = answer.content_type or "no picture"
            yield note(f"{shown_name} sends {sent} at {without_secrets(url)} instead of a picture", "docs/camera.md")
        else:
            yield good(f"{shown_name} answers at {without_secrets(url)}")
    if configured:
        return
    for streamer in _streamers(view):
        keys = ", ".join(f'{key} = "{value}"' for key, value in streamer.keys.items())
        yield note(
            f"a camera program is running here: {streamer.name}", f"[webcam] {keys}; or in the page, under Settings"
        )


def _streamers(view: View) -> Iterator[_Streamer]:
    """Yield the programs that answer at the default ports of camera programs."""
    for port in (8080, 8081):
        yield from _find_stills(view, port)
    yield from _find_go2rtc(view)
    for port, key in ((8889, "webrtc_url"), (8888, "hls_url")):
        answer = view.fetch(f"http://127.0.0.1:{port}/", any_status=True)
        if answer is not None and "mediamtx" in answer.server.lower():
            yield _Streamer("mediamtx", {key: f"http://THIS-COMPUTER:{port}/NAME"})


def _find_stills(view: View, port: int) -> Iterator[_Streamer]:
    base = f"http://127.0.0.1:{port}"
    for path in STILL_PATHS:
        answer = view.fetch(f"{base}{path}")
        if answer is not None and answer.content_type.startswith("image/jpeg"):
            live = path.replace("snapshot", "stream")
            name = answer.server.partition("/")[0] or "a program with pictures"
            yield _Streamer(name[:40], {"stream_url": f"{base}{live}", "snapshot_url": f"{base}{path}"})
            return


def _find_go2rtc(view: View) -> Iterator[_Streamer]:
    answer = view.fetch("http://127.0.0.1:1984/api/streams")
    try:
        names = [*json.loads(answer.body)] if answer is not None else []
    except (ValueError, TypeError):  # another program has this port
        return
    for name in names[:MAX_STREAMS]:
        source = quote(str(name), safe="")
        at = "http://127.0.0.1:1984/api"
        yield _Streamer(
            f"go2rtc with {str(name)[:40]!r}",
            {"stream_url": f"{at}/stream.mjpeg?src={source}", "snapshot_url": f"{at}/frame.jpeg?src={source}"},
        )


CHECKS = (cameras,)
