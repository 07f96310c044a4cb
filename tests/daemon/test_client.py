"""OctoPrintClient against the service in memory: requests, results, errors and retries."""

import asyncio
import json

import pytest

from daemon.client import (
    AccessDenied,
    BadAnswer,
    ClientError,
    Conflict,
    NotFound,
    OctoPrintClient,
    RequestRefused,
    Unreachable,
    resources,
)
from daemon.client.errors import FileChanged, NeverSent
from daemon.client.exchange import HttpAnswer
from support.client import URL, in_memory
from support.http import api

SQUARE = b"G28\nG1 X10 Y10 F3000\nG1 X20\nG1 Y20\nG1 X10\nG1 Y10\n"


class Scripted:
    """A server with prepared answers, or none at all."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.sent = []

    async def send(self, request):
        self.sent.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self):
        pass


def client_of(*answers):
    exchange = Scripted(*answers)
    return OctoPrintClient(URL, "key", exchange=exchange), exchange


def answer(status, body=b"", **headers):
    return HttpAnswer(status, headers, body)


async def until_state(client, state):
    async with asyncio.timeout(600):
        while (await client.job.get())["state"] != state:  # noqa: ASYNC110 - a client only sees what it asks for
            await asyncio.sleep(0.1)


async def test_a_whole_print_is_followed_from_upload_to_end(tmp_path):
    async with api(tmp_path) as server, in_memory(server) as client:
        answer = await client.files.upload(SQUARE, name="square.gcode", select=True)
        assert answer["effectiveSelect"]
        await client.job.start()
        assert (await client.job.get())["state"] in ("Starting", "Printing")
        await until_state(client, "Operational")
        done = await client.job.get()
        assert done["progress"]["completion"] == 100.0
        assert done["job"]["file"]["path"] == "square.gcode"


async def test_a_print_is_paused_resumed_toggled_restarted_and_cancelled(tmp_path):
    async with api(tmp_path) as server, in_memory(server) as client:
        moves = b"".join(b"G1 X%d F6000\n" % (n % 2 * 100) for n in range(60))
        await client.files.upload(moves, name="long.gcode", start=True)
        await client.job.pause()
        await until_state(client, "Paused")
        await client.job.pause()  # nothing
        assert (await client.job.get())["state"] == "Paused"
        await client.job.resume()
        await until_state(client, "Printing")
        await client.job.resume()  # nothing
        await client.job.toggle_pause()
        await until_state(client, "Paused")
        await client.job.toggle_pause()
        await until_state(client, "Printing")
        await client.job.pause()
        await until_state(client, "Paused")
        await client.job.restart()
        await until_state(client, "Printing")
        assert (await client.job.get())["progress"]["completion"] < 50
        await client.job.cancel()
        await until_state(client, "Operational")


@pytest.mark.parametrize(
    ("method", "body"),
    [
        ("start", {"command": "start"}),
        ("cancel", {"command": "cancel"}),
        ("restart", {"command": "restart"}),
        ("pause", {"command": "pause", "action": "pause"}),
        ("resume", {"command": "pause", "action": "resume"}),
        ("toggle_pause", {"command": "pause", "action": "toggle"}),
    ],
)
async def test_each_method_of_the_job_is_one_command(method, body):
    client, exchange = client_of(answer(204))
    assert await getattr(client.job, method)() is None
    [request] = exchange.sent
    assert (request.method, request.url) == ("POST", f"{URL}/api/job")
    assert json.loads(request.body) == body
    assert request.headers == {"X-Api-Key": "key", "Content-Type": "application/json"}


async def test_no_key_is_sent_if_there_is_none():
    exchange = Scripted(answer(200, b"{}"))
    await OctoPrintClient(URL, exchange=exchange).job.get()
    assert exchange.sent[0].headers == {}


NAMES = ["square.gcode", "a b.gcode", "Würfel №2.gcode", 'say "hi".gcode', "100%41;x=1.gcode", "a+b&c#d?e.gcode"]


@pytest.mark.parametrize("name", NAMES)
async def test_files_of_any_name_are_uploaded_found_moved_and_deleted(tmp_path, name):
    async with api(tmp_path) as server, in_memory(server) as client:
        uploaded = await client.files.upload(SQUARE, name=name, folder="parts")
        path = uploaded["files"]["local"]["path"]
        assert path == f"parts/{name}"
        assert (await client.files.get(path))["size"] == len(SQUARE)
        await client.files.select(path)
        assert (await client.job.get())["job"]["file"]["name"] == name
        await client.files.unselect()
        assert (await client.files.copy(path, "copy.gcode"))["path"] == "copy.gcode"
        assert (await client.files.move(path, "moved.gcode"))["path"] == "moved.gcode"
        await client.files.delete("copy.gcode")
        listed = await client.files.list(recursive=True)
        assert [entry["path"] for entry in listed["files"] if entry["type"] != "folder"] == ["moved.gcode"]
        await client.files.delete("parts")
        assert [entry["path"] for entry in (await client.files.list("local"))["files"]] == ["moved.gcode"]


async def test_a_file_is_uploaded_with_progress_and_may_be_printed_at_once(tmp_path):
    (tmp_path / "square.gcode").write_bytes(SQUARE * 4000)
    calls = []
    async with api(tmp_path / "state") as server, in_memory(server) as client:
        uploaded = await client.files.upload(
            tmp_path / "square.gcode", start=True, progress=lambda *call: calls.append(call)
        )
        assert uploaded["effectivePrint"]
        assert server.uploaded() == {"square.gcode": SQUARE * 4000}
    assert [total for _, total in calls] == [len(SQUARE) * 4000] * len(calls)
    assert len(calls) > 1
    assert [sent for sent, _ in calls] == sorted({sent for sent, _ in calls})
    assert calls[-1][0] == len(SQUARE) * 4000


async def test_an_existing_name_is_a_conflict_without_overwriting(tmp_path):
    async with api(tmp_path, "") as server, in_memory(server) as client:
        await client.files.upload(SQUARE, name="a.gcode")
        with pytest.raises(Conflict, match="exists"):
            await client.files.upload(b"G28\n", name="a.gcode", overwrite=False)
        await client.files.upload(b"G28\n", name="a.gcode")
        assert server.uploaded() == {"a.gcode": b"G28\n"}


async def test_bytes_without_a_name_are_not_uploaded():
    with pytest.raises(ValueError, match="need a name"):
        await OctoPrintClient(URL).files.upload(b"G28\n")


async def test_the_printer_is_heated_moved_and_sent_commands(tmp_path):
    async with api(tmp_path) as server, in_memory(server) as client:
        assert not {"sd", "temperature"} & (await client.printer.get(exclude=["sd", "temperature"])).keys()
        await client.printer.heat({"tool0": 205, "bed": 60})
        await asyncio.sleep(300)
        printer = await client.printer.get(history=1)
        assert printer["temperature"]["tool0"]["target"] == 205
        assert printer["temperature"]["bed"]["actual"] == pytest.approx(60, abs=3)
        assert len(printer["temperature"]["history"]) == 1
        await client.printer.home(["x"])
        await client.printer.jog(x=10, z=-0.5, speed=3000)
        await client.printer.extrude(5)
        await client.printer.select_tool("tool0")
        await client.printer.feed_rate(90)
        await client.printer.flow_rate(110)
        await client.printer.send("M117 one", "M117 two")


async def test_omitted_arguments_are_not_sent():
    client, exchange = client_of(answer(204), answer(204))
    await client.printer.jog(z=1)
    await client.connection.connect()
    assert json.loads(exchange.sent[0].body) == {"command": "jog", "z": 1, "absolute": False}
    assert json.loads(exchange.sent[1].body) == {"command": "connect"}


async def test_the_connection_is_closed_and_opened(tmp_path):
    async with api(tmp_path) as server, in_memory(server) as client:
        assert (await client.connection.get())["current"]["state"] == "Operational"
        await client.connection.disconnect()
        with pytest.raises(Conflict, match="Printer is not operational"):
            await client.printer.get()
        await client.connection.connect("VIRTUAL", 115200)
        await until_state(client, "Operational")


async def test_the_version_identifies_the_server(tmp_path):
    async with api(tmp_path, "") as server, in_memory(server) as client:
        assert (await client.version())["text"].startswith("OctoPrint 1.11")


@pytest.mark.parametrize("status", [401, 403])
async def test_denied_access_has_its_own_error(status):
    client, exchange = client_of(answer(status, b'{"error": "a key is needed"}'))
    with pytest.raises(AccessDenied) as raised:
        await client.job.get()
    assert (raised.value.status, raised.value.text) == (status, "a key is needed")
    assert str(raised.value) == f"GET {URL}/api/job: {status} a key is needed"
    assert len(exchange.sent) == 1


async def test_a_missing_file_is_not_found(tmp_path):
    async with api(tmp_path) as server, in_memory(server) as client:
        for refused in (client.files.select("none.gcode"), client.files.delete("none.gcode"), client.files.get("no")):
            with pytest.raises(NotFound, match="404"):
                await refused


@pytest.mark.parametrize(
    ("refusal", "text"),
    [
        (answer(400, b"<html>\xff</html>", **{"content-type": "text/html"}), "Bad Request"),
        (answer(409, b"nothing selected"), "nothing selected"),
        (answer(301, b"", location="https://elsewhere/"), "it has moved to https://elsewhere/"),
        (answer(500, b'["error"]'), '["error"]'),
        (answer(418, b"x" * 1000), "x" * 300),
        (answer(799), ""),
    ],
)
async def test_a_refusal_of_any_form_is_one_short_text(refusal, text):
    client, _ = client_of(refusal)
    with pytest.raises(RequestRefused) as raised:
        await client.job.start()
    assert (raised.value.status, raised.value.text) == (refusal.status, text)


async def test_an_answer_without_json_is_not_from_octoprint():
    client, _ = client_of(answer(200, b"<html>hello"))
    with pytest.raises(BadAnswer, match=r"GET http://printer\.local:5000/api/job is not JSON"):
        await client.job.get()


@pytest.mark.parametrize("status", [200, 400])
async def test_an_answer_nested_too_deep_is_an_error_like_any_other(status):
    client, _ = client_of(answer(status, b"[" * 100_000))
    with pytest.raises(BadAnswer if status == 200 else RequestRefused):
        await client.job.get()


@pytest.mark.parametrize("key", ["two\nlines", "ключ", "a\tb"])
def test_a_key_that_cannot_be_sent_is_refused_and_not_quoted(key):
    with pytest.raises(ClientError, match="the API key has a line break") as raised:
        OctoPrintClient(URL, key)
    assert key not in str(raised.value)


@pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 250])
async def test_a_file_larger_than_an_answer_is_downloaded_in_pieces(size, tmp_path, monkeypatch):
    monkeypatch.setattr(resources, "PIECE", 100)
    content = bytes(range(250))[:size]
    async with api(tmp_path) as server, in_memory(server) as client:
        path = (await client.files.upload(SQUARE, name="a b.gcode"))["files"]["local"]["path"]
        (tmp_path / "uploads" / path).write_bytes(content)
        assert [len(piece) for piece in [each async for each in client.files.pieces(path)]] == [
            min(100, size - begin) for begin in range(0, size, 100)
        ]
        assert await client.files.download(path) == content
        with pytest.raises(NotFound):
            await client.files.download("none.gcode")


def piece(first, size, etag="1", body=b"x" * 100):
    """Return the answer with a range of a file."""
    text = f"bytes {first}-{first + len(body) - 1}/{size}"
    return answer(206, body, **{"content-range": text, "etag": etag})


async def test_a_server_without_ranges_sends_the_whole_file():
    client, exchange = client_of(answer(200, b"x" * 300))
    assert await client.files.download("a.gcode") == b"x" * 300
    assert exchange.sent[0].headers["Range"] == f"bytes=0-{resources.PIECE - 1}"


@pytest.mark.parametrize(
    ("second", "error"),
    [
        (piece(100, 200, "2"), FileChanged),
        (piece(100, 201), FileChanged),
        (piece(0, 200), BadAnswer),
        (piece(100, 200, body=b""), BadAnswer),
        (answer(200, b"x" * 200), BadAnswer),
        (answer(206, b"x", **{"content-range": "bytes */200"}), BadAnswer),
        (answer(416), RequestRefused),
    ],
)
async def test_pieces_of_different_files_are_not_joined(second, error):
    client, _ = client_of(piece(0, 200), second)
    with pytest.raises(error):
        await client.files.download("a.gcode")


async def test_a_read_request_is_sent_up_to_three_times():
    client, exchange = client_of(Unreachable("lost"), answer(503), answer(200, b"{}"))
    before = asyncio.get_running_loop().time()
    assert await client.job.get() == {}
    assert len(exchange.sent) == 3
    assert asyncio.get_running_loop().time() - before == pytest.approx(1.5)


async def test_a_request_for_headers_alone_reads_too():
    client, exchange = client_of(Unreachable("lost"), answer(503), answer(200))
    await client.head("/downloads/timelapse/a.mp4")
    assert [each.method for each in exchange.sent] == ["HEAD"] * 3


async def test_the_third_failure_is_an_error():
    client, exchange = client_of(*[Unreachable(f"lost {n}") for n in range(4)])
    with pytest.raises(Unreachable, match="lost 2"):
        await client.job.get()
    assert len(exchange.sent) == 3


@pytest.mark.parametrize("trouble", [Unreachable("lost"), answer(502), answer(503), answer(504)])
@pytest.mark.parametrize("change", ["command", "upload", "delete"])
async def test_a_request_that_may_have_been_carried_out_is_not_repeated(trouble, change):
    client, exchange = client_of(trouble, answer(204))
    changes = {
        "command": client.job.toggle_pause,
        "upload": lambda: client.files.upload(SQUARE, name="a.gcode"),
        "delete": lambda: client.files.delete("a.gcode"),
    }
    with pytest.raises(ClientError):
        await changes[change]()
    assert len(exchange.sent) == 1


async def test_a_request_that_was_never_sent_is_repeated():
    client, exchange = client_of(NeverSent("refused"), NeverSent("refused"), answer(204))
    await client.job.start()
    assert len(exchange.sent) == 3


@pytest.mark.parametrize(
    ("address", "used"),
    [
        ("printer.local", "http://printer.local"),
        ("printer.local:5000/", "http://printer.local:5000"),
        ("https://home.example/octoprint/", "https://home.example/octoprint"),
        ("http://[::1]:5000", "http://[::1]:5000"),
    ],
)
def test_addresses_may_be_abbreviated(address, used):
    assert OctoPrintClient(address).url == used


@pytest.mark.parametrize(
    "address",
    [
        "",
        "http://",
        "ftp://printer",
        "http://printer:port",
        "http://printer:99999",
        "http://p/?a=1",
        "http://[::1",
        "http://a..b",
    ],
)
def test_an_invalid_address_is_refused_at_once(address):
    with pytest.raises(ClientError, match="is not a server's address"):
        OctoPrintClient(address)


async def test_a_thumbnail_is_fetched_in_the_requested_size():
    client, exchange = client_of(answer(200, b"\x89PNG"), answer(200, b"\x89PNG2"), answer(404))
    assert await client.files.thumbnail("parts/a b.gcode") == b"\x89PNG"
    assert await client.files.thumbnail("a.gcode", (32, 16)) == b"\x89PNG2"
    with pytest.raises(NotFound):
        await client.files.thumbnail("b.gcode")
    assert [request.url.removeprefix(URL) for request in exchange.sent] == [
        "/downloads/thumbnails/local/parts/a%20b.gcode",
        "/downloads/thumbnails/local/a.gcode?size=32x16",
        "/downloads/thumbnails/local/b.gcode",
    ]


async def test_a_percentage_with_a_fraction_is_not_sent_as_a_factor(tmp_path):
    async with api(tmp_path) as server, in_memory(server) as client:
        await client.printer.feed_rate(110.0)
        await client.printer.flow_rate(94.6)


async def test_names_that_are_not_utf_8_are_not_found(tmp_path):
    async with api(tmp_path, "") as server, in_memory(server) as client:
        with pytest.raises(NotFound):
            await client.files.get("\udcff.gcode")
        answer = await client.files.upload(SQUARE, name="a.gcode", folder="\udcff")
        assert answer["files"]["local"]["path"] == "\ufffd/a.gcode"
