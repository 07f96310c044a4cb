"""Output of the printer is untrusted: in the log and the API it is text, and bounded."""

import io
import json

import pytest
import structlog

from daemon.log import configure
from gcode.replies import MAX_LINE, decode, parse
from support.http import api

HTML = '<script>alert("x")</script><img src=x onerror=alert(1)>'
KILLED = "Heating failed "  # an error after which a firmware does nothing more
NASTY = {
    "escapes": (b"\x1b[2J\x1b]0;owned\x07Heater\x9b31m", "[2J]0;ownedHeater\ufffd31m"),
    "C1 in UTF-8": ("\x9b2J\x85Heater".encode(), "2JHeater"),
    "NULs": (b"\0He\0ater\0", "Heater"),
    "HTML": (HTML.encode(), HTML),
    "Latin-1": (b"60\xb0C", "60\ufffdC"),
    "cut UTF-8": (b"60\xc2", "60\ufffd"),
    "UTF-16": ("Hé".encode("utf-16"), "\ufffd\ufffdH\ufffd"),
    "turned around": ("gnp\u202egpj\u2066.exe".encode(), "gnpgpj.exe"),
    "line separators": ("a\u2028b\u2029c\rd".encode(), "abcd"),
    "a megabyte": (b"x" * 1_000_000, "x" * (MAX_LINE - len("Error:"))),
}


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize("raw", [raw for raw, _ in NASTY.values()], ids=list(NASTY))
def test_text_of_a_printer_stays_on_its_line_of_the_log(restored_logging, raw, form):
    stream = io.StringIO()
    writer = configure("info", form, stream)
    structlog.get_logger().error("printer.said", text=parse(b"Error:" + raw).line)
    writer.close()
    written = stream.getvalue()
    assert written.endswith("\n")
    assert len(written.splitlines()) == 1
    assert written.removesuffix("\n").isprintable()
    if form == "json":
        assert json.loads(written)["text"] == decode((b"Error:" + raw)[:MAX_LINE])


@pytest.mark.parametrize(("raw", "shown"), NASTY.values(), ids=list(NASTY))
async def test_text_of_a_printer_is_a_json_string_in_the_api(tmp_path, raw, shown):
    async with api(tmp_path) as server:
        server.service.connection.printer._pump.on_data(b"Error:" + KILLED.encode() + raw + b"\n")
        for path, member in (("/api/printer/error", "error"), ("/api/job", "error")):
            response = await server.get(path)
            assert response.status == 200
            assert response.headers["Content-Type"].startswith("application/json")
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            text = f"{KILLED}{shown}"[: MAX_LINE - len("Error:")]
            assert response.json[member] == f"the firmware has halted: {text}"
            assert b"</" not in response.body, "it could end a script that it were put into"


async def test_file_names_and_messages_are_escaped_too(tmp_path):
    async with api(tmp_path) as server:
        connection = server.service.connection
        connection.printer._pump.on_data(b"File opened: " + HTML.encode() + b"\x1b[2J\0 Size: 9\nFile selected\n")
        connection.printer._pump.on_data(b"//action:notification \x1b[2J" + b"y" * 1_000_000 + b"\n")
        assert connection.panel_print is not None
        name = (await server.get("/api/job")).json["job"]["file"]["name"]
        assert name.isprintable()
        assert "\x1b" not in connection.message
        assert len(connection.message) <= 250


async def test_an_endless_line_is_not_stored(tmp_path):
    async with api(tmp_path) as server:
        printer = server.service.connection.printer
        for _ in range(100):
            printer._pump.on_data(b"z" * 10_000)
        assert len(printer._link._partial) <= MAX_LINE
        printer._pump.on_data(b"\n")
        assert server.service.connection.ready
        await server.service.connection.commands.send(["M105"])
        await server.settle(5)
        assert server.service.connection.ready
