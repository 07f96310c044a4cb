"""Requests of slicers, in order and form: PrusaSlicer, OrcaSlicer, and Cura's plugin."""

import asyncio

import pytest

from support.http import api

SQUARE = b"G28\n" + b"".join(b"G1 X%d F6000\n" % (n % 2 * 50) for n in range(200))

BOUNDARY = "------------------------d74496d66958873e"  # curl's, which PrusaSlicer and OrcaSlicer are built on
FIELD = '--{}\r\nContent-Disposition: form-data; name="{}"\r\n\r\n{}\r\n'
CURL_FILE = '--{}\r\nContent-Disposition: form-data; name="file"; filename="{}"\r\nContent-Type: {}\r\n\r\n'

QT = "boundary_.oOo._MjAxNTEyMTcxMzAyMzA="  # of Qt, which Cura is built on; it goes in quotes
QT_FILE = '--{}\r\nContent-Disposition: form-data; name="file"; filename="{}"\r\n\r\n'


async def send(server, boundary, fields, file, headers):
    """Send a form as a slicer does: in pieces, its end in one of its own."""
    kind = (
        f'multipart/form-data; boundary="{boundary}"' if boundary == QT else f"multipart/form-data; boundary={boundary}"
    )
    head = "".join(fields) + file
    pieces = [head.encode(), SQUARE, f"\r\n--{boundary}--\r\n".encode()]
    return await server.request("POST", "/api/files/local", pieces, headers={"Content-Type": kind, **headers})


async def until_state(server, prefix):
    async with asyncio.timeout(600):
        while not (answer := (await server.get("/api/job")).json)["state"].startswith(prefix):  # noqa: ASYNC110 - as a client does
            await asyncio.sleep(0.5)
    return answer


@pytest.mark.parametrize("slicer", ["PrusaSlicer/2.9.2", "OrcaSlicer/2.3.0"])
async def test_prusaslicer_and_orcaslicer_test_the_connection_then_upload_and_print(tmp_path, slicer):
    agent = {"User-Agent": slicer, "Accept": "*/*"}
    async with api(tmp_path) as server:
        version = await server.get("/api/version", headers=agent)
        assert version.status == 200
        assert version.json["text"].startswith("OctoPrint")
        assert "api" in version.json
        fields = [FIELD.format(BOUNDARY, "print", "true"), FIELD.format(BOUNDARY, "path", "")]
        file = CURL_FILE.format(BOUNDARY, "Würfel 0.2mm.gcode", "application/octet-stream")
        answer = await send(server, BOUNDARY, fields, file, {**agent, "Expect": "100-continue"})
        assert answer.status == 201
        assert answer.json["effectivePrint"] is True
        assert server.uploaded() == {"Würfel 0.2mm.gcode": SQUARE}
        done = await until_state(server, "Operational")
        assert done["progress"]["completion"] == 100.0


async def test_prusaslicer_on_windows_sends_an_address_and_the_name_as_host(tmp_path):
    async with api(tmp_path) as server:
        assert (await server.get("/api/version", headers={"Host": "printer.lan"})).status == 200


async def test_an_upload_without_print_is_only_an_upload(tmp_path):
    async with api(tmp_path) as server:
        fields = [FIELD.format(BOUNDARY, "print", "false"), FIELD.format(BOUNDARY, "path", "parts")]
        answer = await send(server, BOUNDARY, fields, CURL_FILE.format(BOUNDARY, "a.gcode", "text/plain"), {})
        assert (answer.status, answer.json["effectivePrint"], answer.json["effectiveSelect"]) == (201, False, False)
        assert server.uploaded() == {"parts/a.gcode": SQUARE}


async def test_cura_uploads_follows_location_to_print_and_toggles_by_pause(tmp_path):
    async with api(tmp_path) as server:
        for path in ("/api/settings", "/api/version", "/api/printerprofiles", "/api/printer", "/api/job"):
            assert (await server.get(path)).status == 200, path
        user = await server.post("/api/login", {"passive": True})
        assert user.json["name"]
        fields = [FIELD.format(QT, "path", ""), FIELD.format(QT, "select", "true")]
        answer = await send(server, QT, fields, QT_FILE.format(QT, "Cura.gcode"), {})
        assert answer.status == 201
        address = answer.headers["Location"]
        assert "api/" in address
        path = "/api/" + address.partition("/api/")[2]
        assert (await server.post(path, {"command": "select", "print": True})).status == 204
        await until_state(server, "Printing")
        flags = (await server.get("/api/printer")).json["state"]["flags"]
        assert {"error", "closedOrError", "paused", "pausing", "printing", "cancelling", "ready", "operational"} <= {
            *flags
        }
        for state in ("Paused", "Printing"):  # Cura says `pause` for both
            assert (await server.post("/api/job", {"command": "pause"})).status == 204
            await until_state(server, state)
        assert (await server.post("/api/printer/command", {"commands": ["M117 hello", "M105"]})).status == 204
        assert (await server.post("/api/job", {"command": "cancel"})).status == 204
        await until_state(server, "Operational")
