"""/webcam/: pictures for clients with access, one connection to the camera for all, and the list of cameras."""

import asyncio
import re
from contextlib import asynccontextmanager, suppress

import pytest

from daemon.camera.addresses import own_address
from daemon.config import CameraConfig
from daemon.errors import CameraError
from daemon.front.access.keyring import Keyring
from daemon.front.access.scopes import Scope
from daemon.front.cameras import MAX_AGE_S, Cameras, Relay
from daemon.front.http import webcam
from daemon.front.http.openapi import describe
from daemon.front.http.server import listen
from support.fake_camera import STILL, STREAM, camera
from support.http import KEY, NOW, api
from support.waiting import TIMEOUT, until

SIGNED = r"/webcam/\?action=stream&expires=\d+&by=[0-9a-f]+&signature=[0-9a-f]+"


class Viewer:
    """A viewer of a stream on a real socket."""

    async def look(self, port, target, key):
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port, limit=2**16)
        header = f"X-Api-Key: {key}\r\n" if key else ""
        self.writer.write(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n{header}\r\n".encode())
        self.head = (await self.reader.readuntil(b"\r\n\r\n")).decode()

    async def picture(self):
        """Return the next picture."""
        async with asyncio.timeout(TIMEOUT):
            head = await self.reader.readuntil(b"\xff\xd8\xff")
            rest = await self.reader.readuntil(b"\xff\xd9\r\n")
        return head[-3:] + rest

    async def ends(self):
        """Wait until the stream has ended."""
        async with asyncio.timeout(TIMEOUT):
            while await self.reader.read(2**16):
                pass
        return True

    async def go(self):
        self.writer.transport.abort()
        with suppress(ConnectionError):
            await self.writer.wait_closed()


@asynccontextmanager
async def served(server):
    """Listen on a free port; give a function that makes a viewer."""
    listening = listen(server.service.front)
    port = int(listening.url.rsplit(":", 1)[1].strip("/"))
    viewers = []

    async def look(target="/webcam/?action=stream", key=KEY):
        viewers.append(Viewer())
        await viewers[-1].look(port, target, key)
        return viewers[-1]

    try:
        yield look
    finally:
        for each in viewers:
            await each.go()
        await listening.close()


@pytest.mark.real_time
async def test_many_clients_share_one_camera_connection_and_a_slow_one_delays_no_other(tmp_path, monkeypatch):
    monkeypatch.setattr(webcam, "MAX_VIEWERS", 3)
    monkeypatch.setattr(webcam, "KEY_CHECK_INTERVAL", 0.1)
    async with (
        camera(every=0.02, size=(640, 480)) as device,
        api(tmp_path, "", http={"port": 0}, webcam={"stream_url": device.url + STREAM}) as server,
        served(server) as look,
    ):
        slow = await look()
        assert "multipart/x-mixed-replace" in slow.head
        await slow.picture()  # and then its socket is full
        viewers = [await look() for _ in range(2)]
        for _ in range(20):
            for each in viewers:
                await each.picture()
        assert (device.open, len(device.requests)) == (1, 1)
        full = await look()
        assert full.head.startswith("HTTP/1.1 503")
        still = await look("/webcam/?action=snapshot")
        assert "image/jpeg" in still.head
        assert device.requests == [STREAM]  # the snapshot is the stream's newest picture
        for each in (slow, *viewers, full):
            await each.go()
        await until(lambda: device.open == 0)
        await (await look()).picture()
        assert device.requests == [STREAM, STREAM]


@pytest.mark.real_time
async def test_a_stream_ends_with_its_key_and_with_the_camera(tmp_path, monkeypatch):
    monkeypatch.setattr(webcam, "KEY_CHECK_INTERVAL", 0.05)
    monkeypatch.setattr("daemon.front.access.access.REFRESH_INTERVAL", 0.0)
    async with (
        camera(every=0.02) as device,
        api(tmp_path, "", http={"port": 0}, webcam={"stream_url": device.url + STREAM}) as server,
        served(server) as look,
    ):
        guest = Keyring(tmp_path, lambda: NOW).add("guest", Scope.READ)
        await server.service.access.refresh()
        by_key = await look(key=guest)
        path, known = "/webcam/?action=stream", server.service.access.identity_of(guest)
        signed = server.service.access.signing.sign(path, known.digest, asyncio.get_running_loop().time())
        assert re.fullmatch(SIGNED, signed)
        by_address = await look(signed, key=None)
        assert (await look(signed + "0", key=None)).head.startswith("HTTP/1.1 403")
        assert (await look(path, key=None)).head.startswith("HTTP/1.1 403")
        for each in (by_key, by_address):
            await each.picture()
        Keyring(tmp_path, lambda: NOW).revoke("guest")
        assert await by_key.ends()
        assert await by_address.ends()
        device.last = 0
        assert (await look()).head.startswith("HTTP/1.1 502")


async def test_links_of_pictures_are_signed(tmp_path):
    async with api(tmp_path, "") as server:
        for path in ("/webcam/?action=stream", "/webcam/Nozzle%20cam/?action=snapshot&_=17", "/webcam/"):
            answer = await server.post("/api/links", {"paths": [path]})
            assert "signature=" in answer.json["links"][path]
        for path in ("/webcam/a/b", "/webcams/", "/webcam/a/b?action=stream"):
            assert (await server.post("/api/links", {"paths": [path]})).status == 400


@pytest.mark.parametrize("path", ["/downloads/files/local/\ud800.gcode", "/downloads/files/local/a\nb.gcode"])
async def test_an_invalid_address_is_not_signed(tmp_path, path):
    async with api(tmp_path, "") as server:
        assert (await server.post("/api/links", {"paths": [path]})).status == 400


async def test_a_missing_camera_or_bad_request_is_reported(tmp_path):
    still = CameraConfig("Still", hls_url="http://x/")
    async with (
        camera(manner="html") as device,
        api(tmp_path, "", webcam={"stream_url": device.url + "/live", "cameras": (still,)}) as server,
    ):
        for target, status, error in [
            ("/webcam/?action=snapshot", 502, "not send a JPEG"),
            ("/webcam/?action=stream", 502, "not an MJPEG stream"),
            ("/webcam/?action=dance", 400, "stream or snapshot"),
            ("/webcam/Other/", 404, "no camera 'Other'"),
            ("/webcam/?camera=Other", 404, "no camera 'Other'"),
            ("/webcam/Still/", 502, "Still has no stream"),
            ("/webcam/Still/?action=snapshot", 502, "Still has no address for single pictures"),
        ]:
            answer = await server.get(target)
            assert (answer.status, error in answer.error) == (status, True), (target, answer.error)
        assert (await server.get("/webcam/", key=None)).status == 403
    async with api(tmp_path, "") as server:
        assert (await server.get("/webcam/?action=snapshot")).status == 404


async def test_simultaneous_requests_share_one_picture(tmp_path, monkeypatch):
    requests, snapshot = [], Cameras.snapshot

    def noted(*arguments):
        requests.append(arguments)
        return snapshot(*arguments)

    monkeypatch.setattr(Cameras, "snapshot", noted)
    async with (
        camera(manner="late") as device,
        api(tmp_path, "", webcam={"snapshot_url": device.url + STILL}) as server,
    ):
        asking = [asyncio.ensure_future(server.get("/webcam/?action=snapshot")) for _ in range(5)]
        await until(lambda: len(requests) == len(asking))
        device.release.set()
        answers = await asyncio.gather(*asking)
        assert {each.status for each in answers} == {200}
        assert len({each.body for each in answers}) == len(device.requests) == 1
        await server.get("/webcam/?action=snapshot")
        assert len(device.requests) == 2


async def test_several_cameras_are_listed_in_octoprints_form(tmp_path):
    camera = {
        "stream_url": "http://127.0.0.1:8080/stream", "snapshot_url": "http://anna:x@cam/snapshot", "name": "Bed",
        "webrtc_url": "http://anna:x@cam:8889/bed/",
        "cameras": (CameraConfig("Nozzle cam", "http://cam/stream", rotate_90=True),),
    }  # fmt: skip
    async with api(tmp_path, "", webcam=camera) as server:
        answer = (await server.get("/api/settings")).json
        webcam = answer["webcam"]
        assert (webcam["streamUrl"], webcam["snapshotUrl"]) == ("/webcam/?action=stream", "/webcam/?action=snapshot")
        assert (webcam["defaultWebcam"], webcam["snapshotWebcam"]) == ("classic", "classic")
        first, second = webcam["webcams"]
        assert (first["name"], first["displayName"], first["canSnapshot"]) == ("classic", "Bed", True)
        assert first["compat"]["stream"] == "/webcam/?action=stream"
        assert first["extras"]["webrtc"] == "http://cam:8889/bed/"
        assert (second["name"], second["rotate90"], second["canSnapshot"]) == ("Nozzle cam", True, False)
        assert second["extras"]["proxied"]["stream"] == "/webcam/Nozzle%20cam/?action=stream"
        assert answer["nozzled"]["webcam"]["snapshotUrl"] == camera["snapshot_url"]
        guest = Keyring(tmp_path, lambda: NOW).add("guest", Scope.CONTROL)
        answer_to_guest = await server.get("/api/settings", key=guest)
        assert b"anna" not in answer_to_guest.body
        policy = (await server.get("/", headers={"Accept": "text/html", "Host": "localhost"})).headers[
            "Content-Security-Policy"
        ]
        assert "img-src 'self' blob: http://cam;" in policy


async def test_changed_cameras_are_stored(tmp_path):
    cameras = [
        {"name": "Nozzle", "streamUrl": "http://127.0.0.1:8081/stream", "flipV": True},
        {"name": "Top", "hlsUrl": "http://cam/x"},
    ]
    change = describe()["paths"]["/api/settings"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    camera = change["properties"]["webcam"]["properties"]["cameras"]["items"]
    async with api(tmp_path, "") as server:
        longest = {"name": "a" * camera["properties"]["name"]["maxLength"]}
        assert (await server.post("/api/settings", {"webcam": {"cameras": [longest]}})).status == 200
        answer = await server.post("/api/settings", {"webcam": {"cameras": cameras, "name": "Bed"}})
        assert answer.status == 200
        shown_cameras = answer.json["webcam"]["cameras"]
        assert [each["name"] for each in shown_cameras] == ["Nozzle", "Top"]
        assert shown_cameras[0]["streamUrl"] == "/webcam/Nozzle/?action=stream"
        assert [each["name"] for each in answer.json["webcam"]["webcams"]] == ["Nozzle", "Top"]
        again = await server.post("/api/settings", {"webcam": {"cameras": [*shown_cameras[:1], {"name": "New"}]}})
        assert again.json["nozzled"]["webcam"]["cameras"][0]["streamUrl"] == "http://127.0.0.1:8081/stream"
        for bad in (
            "x",
            [{"streamUrl": "http://x/"}],
            [{"name": "a/b"}],
            [{"name": "classic"}],
            [{"name": "a"}] * 9,
            [{"name": "a" * (camera["properties"]["name"]["maxLength"] + 1)}],
            [{"name": "a", "streamUrl": "javascript:x"}],
            [{"name": "a"}, {"name": "A"}],
            [{"name": "a", "flipH": 3}],
        ):
            assert (await server.post("/api/settings", {"webcam": {"cameras": bad}})).status == 400, bad
    async with api(tmp_path, "") as server:
        assert [each.name for each in server.service.webcam.cameras] == ["Nozzle", "New"]
        assert server.service.webcam.cameras[0].flip_vertically


async def test_a_camera_that_falls_silent_is_named_as_such(monkeypatch):
    monkeypatch.setattr("daemon.front.cameras.SILENCE_TIMEOUT", 0.2)
    async with camera(every=3600) as device:
        relay = Relay(device.url + STREAM)
        relay.join()
        number, _ = await relay.next_picture(0, 60)
        with pytest.raises(CameraError, match="has stopped sending"):
            await relay.next_picture(number, 60)
        relay.leave()


async def test_a_camera_with_a_percent_sign_in_its_name_is_found(tmp_path):
    async with camera() as device:
        cameras = (CameraConfig(name="Zoom 50%ab", snapshot_url=device.url + STILL),)
        async with api(tmp_path, "", webcam={"cameras": cameras}) as server:
            assert (await server.get(own_address("Zoom 50%ab", "snapshot"))).status == 200


async def test_a_picture_of_a_stream_is_a_snapshot_for_a_second():
    async with camera(every=3600) as device:
        cameras = Cameras()
        configured = CameraConfig("Bed", device.url + STREAM, device.url + STILL)
        relay = cameras.relay(configured)
        relay.join()
        _, picture = await relay.next_picture(0, 60)
        assert await cameras.snapshot(configured) == picture
        assert device.requests == [STREAM]
        relay.newest_at -= MAX_AGE_S + 0.1
        await cameras.snapshot(configured)
        assert device.requests == [STREAM, STILL]
        relay.newest_at += 2 * MAX_AGE_S
        relay.leave()
        await cameras.snapshot(configured)
        assert device.requests == [STREAM, STILL, STILL], "nobody watches, so its last picture may be of any time"
