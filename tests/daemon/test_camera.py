"""Pictures of cameras: which answers count as one, size limits, and the addresses derived from others."""

import asyncio
import gc
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.camera import addresses
from daemon.camera.fetch import fetch_picture
from daemon.camera.mjpeg import MAX_PICTURE, PictureParts
from daemon.config import CameraConfig, WebcamConfig
from daemon.errors import CameraError
from support.fake_camera import STILL, STREAM, camera, jpeg
from support.waiting import TIMEOUT

PICTURES = [jpeg(number) for number in range(3)]


@pytest.mark.parametrize("lengths", [True, False])
@given(size=st.integers(1, 900))
def test_a_stream_is_read_however_it_is_split(lengths, size):
    stream = b"HTTP junk\r\n"
    for each in PICTURES:
        length = b"Content-length: %d\r\n" % len(each) if lengths else b""
        stream += b"--b\r\nContent-Type: image/jpeg\r\n" + length + b"\r\n" + each + b"\r\n"
    stream += b"--b\r\n"
    parts = PictureParts()
    pictures = [each for at in range(0, len(stream), size) for each in parts.feed(stream[at : at + size])]
    assert pictures == PICTURES


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"x" * 9000, "not send an MJPEG stream"),
        (b"--b\r\nContent-Length: 9000000\r\n\r\n", "larger than"),
        (b"--b\r\n\r\n" + b"\xff\xd8\xff" + b"x" * (MAX_PICTURE + 1), "larger than"),
        (b"--b\r\nContent-Length: 5\r\n\r\nhello", "not send a JPEG"),
        (b"--b\r\nContent-Length: 5\r\n\r\n\xff\xd8\xff..", "is incomplete"),
    ],
)
def test_an_answer_without_pictures_is_an_error(answer, error):
    with pytest.raises(CameraError, match=error):
        PictureParts().feed(answer)


async def test_a_picture_is_fetched_from_a_stream_and_with_a_password():
    async with camera() as device:
        assert (await fetch_picture(device.url + STILL, 2)).endswith(b"\xff\xd9")
        assert (await fetch_picture(device.url + STREAM, 2)).endswith(b"\xff\xd9")
        await fetch_picture(device.url + STILL, 2, headers={"X-Api-Key": "the key"})
        await fetch_picture(device.url.replace("//", "//anna:p%40ss@") + STILL, 2)
    assert device.requests == [STILL, STREAM, STILL, STILL]
    assert "X-Api-Key: the key\r\n" in device.headers[2]
    assert "Basic YW5uYTpwQHNz" in device.headers[-1]  # anna:p@ss
    assert "@" not in device.headers[-1]
    assert device.open == 0


@pytest.mark.parametrize(
    ("manner", "error"),
    [
        ("stall", "does not answer|no complete picture"),
        ("drip", "no complete picture within 0.3 s"),
        ("truncate", "cut off after"),
        ("error", "answers with 500"),
        ("html", "not send a JPEG picture"),
        ("huge", f"more than {MAX_PICTURE} bytes"),
        ("redirect", "is a redirect"),
        ("dumb", "does not speak HTTP"),
        ("odd", "does not speak HTTP"),
        ("reset", "hung up: Connection reset by peer"),
    ],
)
async def test_a_misbehaving_camera_costs_bounded_time_and_memory(manner, error):
    seconds = 0.3 if manner in ("stall", "drip") else TIMEOUT
    async with camera(manner=manner) as device:
        with pytest.raises(CameraError, match=error) as caught:
            await fetch_picture(device.url + STILL + "&secret=1", seconds)
        assert device.bytes_sent < 3 * MAX_PICTURE
        assert "secret" not in str(caught.value)


async def test_a_closed_port_and_a_bad_address_are_reported():
    for url, error in [
        ("http://127.0.0.1:1/", "no camera at http://127.0.0.1:1/"),
        ("http://a:b@127.0.0.1:1/c?d=e", "no camera at http://127.0.0.1:1/c: "),
        ("http://127.0.0.1:1/user=anna_password=x_channel=1", r"no camera at http://127.0.0.1:1/user=\*\*\*: "),
        ("/webcam/", "address must begin with"),
        ("ftp://x/", "address must begin with"),
        ("http://a b/", "address must begin with"),
        ("http://x:99999/", "address must begin with"),
        ("http://x/\r\nEvil: 1", "address must begin with"),
    ]:
        with pytest.raises(CameraError, match=error):
            await fetch_picture(url, 1)


async def test_a_stream_that_ends_at_once_has_no_picture():
    async with camera(last=0) as device:
        with pytest.raises(CameraError, match="ended before a picture came"):
            await fetch_picture(device.url + STREAM, TIMEOUT)


async def test_a_resolver_that_hangs_is_asked_once_however_often_a_picture_is_wanted(monkeypatch):
    """Each lookup occupies a thread of the pool that uploads and keys need, until the resolver gives up."""
    asked, has_answer, errors = [], asyncio.Event(), []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))

    async def getaddrinfo(name, *_, **__):
        asked.append(name)
        await has_answer.wait()
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    for _ in range(3):
        with pytest.raises(CameraError, match="does not answer"):
            await fetch_picture("http://camera.example/", 5)
    assert len(asked) == 1
    has_answer.set()
    await asyncio.sleep(0.1)
    gc.collect()
    assert errors == [], "an error that came too late is no bug"
    with pytest.raises(CameraError, match="Name or service not known"):
        await fetch_picture("http://camera.example/", 5)
    assert len(asked) == 2, "the next picture asks again"


@pytest.mark.real_time
async def test_a_camera_is_reached_at_the_address_that_answers(monkeypatch):
    async def getaddrinfo(*_, **__):
        kind = (socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
        return [
            (socket.AF_INET6, *kind, ("fe80::9", 0, 0, 1)),  # the interface "lo", on which nothing has that address
            (socket.AF_INET, *kind, ("127.0.0.1", 0)),
        ]

    async with camera() as device:
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
        assert await fetch_picture(device.url.replace("127.0.0.1", "camera.example") + STILL, TIMEOUT)
        assert f"Host: camera.example:{device.port}" in device.headers[0]


async def test_a_link_local_address_is_tried_on_its_interface(monkeypatch):
    async def getaddrinfo(*_, **__):
        return [(socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("fe80::9", 0, 0, 3))]

    async def open_connection(address, *_, **__):
        raise OSError(0, f"tried {address}")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(asyncio, "open_connection", open_connection)
    with pytest.raises(CameraError, match="tried fe80::9%3"):
        await fetch_picture("http://camera.example/", TIMEOUT)


@pytest.mark.parametrize(
    ("stream", "snapshot", "from_stream", "from_snapshot"),
    [
        ("http://c:8080/?action=stream", "", "", "http://c:8080/?action=snapshot"),
        ("http://c/stream", "", "", "http://c/snapshot"),
        ("http://c:1984/api/stream.mjpeg?src=x", "", "", "http://c:1984/api/frame.jpeg?src=x"),
        ("http://c/live", "", "", "http://c/live"),
        (
            "/webcam/?action=stream",
            "http://127.0.0.1:8080/?action=snapshot",
            "http://127.0.0.1:8080/?action=stream",
            "",
        ),
        ("/webcam/?action=stream", "http://c/snapshot", "http://c/stream", ""),
        ("/webcam/?action=stream", "http://c/still.jpg", "", ""),
        ("/webcam/?action=stream", "", "", ""),
    ],
)
def test_stream_and_snapshot_addresses_are_derived_from_each_other(stream, snapshot, from_stream, from_snapshot):
    device = CameraConfig(stream_url=stream, snapshot_url=snapshot)
    assert addresses.stream_of(device) == (from_stream or (stream if stream.startswith("http") else ""))
    assert addresses.snapshot_of(device) == (from_snapshot or snapshot)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://127.0.0.1:8080/stream", "/webcam/?action=stream"),
        ("http://localhost/stream", "/webcam/?action=stream"),
        ("http://[::1]/stream", "/webcam/?action=stream"),
        ("http://0.0.0.0:8080/stream", "/webcam/?action=stream"),
        ("http://[::]:8080/stream", "/webcam/?action=stream"),
        ("http://anna:secret@camera/stream", "/webcam/?action=stream"),
        ("http://camera.local/stream", "http://camera.local/stream"),
        ("/webcam/?action=stream", "/webcam/?action=stream"),
        ("webrtc://camera/1", "webrtc://camera/1"),
        # "sig" is in the name of the host
        ("http://design-pi.local:8080/?action=stream", "http://design-pi.local:8080/?action=stream"),
        ("http://camera/users/1/stream?width=720", "http://camera/users/1/stream?width=720"),
        ("http://camera/user=anna_password=secret_channel=1", "/webcam/?action=stream"),
    ],
)
def test_clients_get_an_address_that_they_can_open(url, address):
    cameras = addresses.cameras_of(WebcamConfig(stream_url=url))
    assert addresses.client_stream("classic", cameras["classic"]) == address
    if address != url:
        assert addresses.client_stream("My cam", cameras["classic"]) == "/webcam/My%20cam/?action=stream"


def test_each_camera_has_a_name():
    one = CameraConfig(stream_url="http://a/")
    by_name = addresses.cameras_of(WebcamConfig(cameras=(one, CameraConfig("Nozzle", "http://b/"))))
    assert list(by_name) == ["Camera 2", "Nozzle"]
    assert list(addresses.cameras_of(WebcamConfig(snapshot_url="http://c/", cameras=(one,)))) == ["classic", "Camera 2"]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://anna:secret@camera:554/1", "rtsp://camera:554/1"),
        ("webrtc://camera/1?password=secret&n=1", "webrtc://camera/1?password=***&n=1"),
        ("rtsp://monkey.local/1?n=1", "rtsp://monkey.local/1?n=1"),
        ("rtsp://camera:554/user=anna_password=secret_channel=1", "rtsp://camera:554/user=***"),
        ("http://anna:secret@[camera/", "http://[camera/"),
        ("/cam/?token=abc", "/cam/?token=abc"),  # of a proxy in front of us: without the token it shows nothing
    ],
)
def test_clients_do_not_see_the_password_in_an_address_that_is_not_relayed(url, shown):
    camera = CameraConfig(stream_url=url, snapshot_url=url)
    assert addresses.client_stream("Bed", camera) == shown
    assert addresses.client_snapshot("Bed", camera) == shown


@pytest.mark.parametrize(
    ("url", "needed", "shown"),
    [
        ("http://cam/?action=stream", False, "http://cam/?action=stream"),
        ("http://anna:x@cam/a?b=c", True, "http://cam/a?b=c"),
        ("http://cam/snap.cgi?usr=admin&pwd=geheim&n=1", True, "http://cam/snap.cgi?usr=***&pwd=***&n=1"),
        ("https://cam/api?cmd=Snap&Password=geheim", True, "https://cam/api?cmd=Snap&Password=***"),
        ("http://cam/x?access_token=geheim#t", True, "http://cam/x?access_token=***#t"),
    ],
)
def test_a_secret_in_the_query_is_hidden_too(url, needed, shown):
    assert addresses.needs_relay(url) == needed
    assert addresses.mask_secrets(url) == shown
