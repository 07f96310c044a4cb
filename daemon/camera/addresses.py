"""The addresses of a camera: which ones clients can open themselves, and how one is derived from another. Pure."""

import re
from dataclasses import replace
from ipaddress import ip_address
from urllib.parse import quote, urlsplit

from daemon.config import CameraConfig, WebcamConfig

WEBCAM = "/webcam/"
FIRST = "classic"
"""The name of the first camera: OctoPrint's own camera has this name too, and clients look for it."""

_SECRET = re.compile(
    r"([/?&;][^=&?;#/]*(?:pass|pwd|psw|user|usr|login|token|key|auth|secret|sig)[^=&?;#/]*=)[^&;#]+", re.IGNORECASE
)
"""A secret in a query or path; most network cameras have their password there. The name of a host is none."""

_TO_SNAPSHOT = (
    (re.compile(r"action=stream\b"), "action=snapshot"),
    (re.compile(r"/stream\.mjpe?g(?=\?|$)"), "/frame.jpeg"),
    (re.compile(r"/stream(?=\?|$)"), "/snapshot"),
)
_TO_STREAM = (
    (re.compile(r"action=snapshot\b"), "action=stream"),
    (re.compile(r"/frame\.jpe?g(?=\?|$)"), "/stream.mjpeg"),
    (re.compile(r"/snapshot(?:\.jpe?g)?(?=\?|$)"), "/stream"),
)


def cameras_of(webcam: WebcamConfig) -> dict[str, CameraConfig]:
    """Return the configured cameras by name; the first one is the printer's own."""
    cameras = {}
    if webcam.stream_url or webcam.snapshot_url or webcam.webrtc_url or webcam.hls_url:
        cameras[FIRST] = CameraConfig(
            name=webcam.name or "Webcam",
            stream_url=webcam.stream_url,
            snapshot_url=webcam.snapshot_url,
            webrtc_url=webcam.webrtc_url,
            hls_url=webcam.hls_url,
            flip_horizontally=webcam.flip_horizontally,
            flip_vertically=webcam.flip_vertically,
            rotate_90=webcam.rotate_90,
        )
    for number, camera in enumerate(webcam.cameras, 2):
        name = camera.name or f"Camera {number}"
        cameras.setdefault(name, replace(camera, name=name))
    return cameras


def page_addresses(webcam: WebcamConfig) -> list[str]:
    """Return the addresses of pictures that browsers open directly."""
    return [
        url
        for each in cameras_of(webcam).values()
        for url in (each.stream_url, each.snapshot_url)
        if url and not needs_relay(url)
    ]


def stream_of(camera: CameraConfig) -> str:
    """Return the source of the live picture; "" if there is none.

    If the configured address is one of ours, the source is derived from the single picture's.
    """
    if is_whole(camera.stream_url):
        return camera.stream_url
    return _derived(camera.snapshot_url, _TO_STREAM) if camera.stream_url.startswith(WEBCAM) else ""


def snapshot_of(camera: CameraConfig) -> str:
    """Return the source of a single picture: its address, or one derived from the live picture's; "" if none."""
    if is_whole(camera.snapshot_url):
        return camera.snapshot_url
    if is_whole(camera.stream_url):
        return _derived(camera.stream_url, _TO_SNAPSHOT) or camera.stream_url
    return ""


def client_stream(name: str, camera: CameraConfig) -> str:
    """Return the address of the live picture for clients: one of ours if they cannot open the camera's."""
    return own_address(name, "stream") if needs_relay(camera.stream_url) else _public(camera.stream_url)


def client_snapshot(name: str, camera: CameraConfig) -> str:
    """Return the address of the single picture for clients, in the same way."""
    if needs_relay(camera.snapshot_url) or (not camera.snapshot_url and needs_relay(camera.stream_url)):
        return own_address(name, "snapshot")
    return _public(camera.snapshot_url)


def _public(url: str) -> str:
    """Return an address that we do not relay, such as one with rtsp://, without the camera's password."""
    return mask_secrets(url) if "://" in url else url  # a path on this server may need what is in its query


def own_address(name: str, action: str) -> str:
    """Return the address of a camera on this server."""
    return f"{WEBCAM}?action={action}" if name == FIRST else f"{WEBCAM}{quote(name, safe='')}/?action={action}"


def is_whole(url: str) -> bool:
    """Tell whether this is a complete address, and not a path on this server."""
    return url.startswith(("http://", "https://"))


def needs_relay(url: str) -> bool:
    """Tell whether we have to relay an address to clients: only this computer can open it, or it contains a secret.

    Browsers do not send the password in a picture's address, and viewers must not see one in its query.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return is_whole(url) and (parts.username is not None or mask_secrets(url) != url or is_on_this_computer(url))


def is_on_this_computer(url: str) -> bool:
    """Tell whether an address leads to the computer that opens it, whichever that is."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified  # 0.0.0.0, which streamers print as their address


def mask_secrets(url: str) -> str:
    """Return an address without names, passwords and keys."""
    url = _SECRET.sub(r"\1***", url)
    head, _, location = url.partition("://")
    host, slash, path = location.partition("/")
    return f"{head}://{host.rpartition('@')[2]}{slash}{path}" if location else url


def _derived(url: str, rules: tuple[tuple[re.Pattern[str], str], ...]) -> str:
    for pattern, other in rules:
        if pattern.search(url):
            return pattern.sub(other, url, count=1) if is_whole(url) else ""
    return ""
