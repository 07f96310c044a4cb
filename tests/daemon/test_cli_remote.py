"""`nozzled job`, `files` and `printer` on a daemon at a socket: output, exit codes, choice of daemon and key."""

import argparse
import asyncio
import json

import pytest
from structlog.testing import capture_logs

from daemon.cli import local_daemon, main
from daemon.cli.files import _format, _UploadBar
from daemon.cli.remote import duration, find_server, printable
from daemon.client import ClientError
from daemon.client.exchange import HttpAnswer, TornadoExchange
from daemon.errors import ConfigError
from daemon.front.companions import CompanionReply
from support.analyses import InlineWorker
from support.client import listening
from support.http import KEY
from support.waiting import TIMEOUT

SHORT = b"G28\n" + b"".join(b"G1 X%d F6000\n" % (n % 2 * 20) for n in range(200))
LONG = b"".join(b"G1 X%d F6000\n" % (n % 2 * 100) for n in range(2000))  # half an hour


@pytest.fixture(autouse=True)
def only_the_key(no_settings, monkeypatch):
    """No settings of the caller but the daemon's key."""
    monkeypatch.setenv("NOZZLED_API_KEY", KEY)
    with capture_logs():  # the daemon's own log goes where the commands print
        yield


@pytest.fixture
def part(tmp_path):
    path = tmp_path / "part.gcode"
    path.write_bytes(SHORT)
    return str(path)


class Commands:
    """The command line, run in a thread, as it needs its own loop."""

    def __init__(self, url, capsys):
        self._url = url
        self._capsys = capsys

    async def __call__(self, *words, code=0):
        """Run a command and return its output, or its error if the exit code differs."""
        assert await asyncio.to_thread(main, [*words, "--url", self._url]) == code, words
        output = self._capsys.readouterr()
        assert (output.err == "") == (code == 0), output.err
        return output.out if code == 0 else output.err

    async def json(self, *words, code=0):
        assert await asyncio.to_thread(main, [*words, "--url", self._url, "--json"]) == code, words
        return json.loads(self._capsys.readouterr().out)

    async def until_state(self, state):
        async with asyncio.timeout(TIMEOUT):
            while (await self.json("job", "status"))["state"] != state:  # noqa: ASYNC110 - a client only sees what it asks for
                await asyncio.sleep(0.02)


@pytest.mark.real_time
async def test_a_print_is_followed_from_upload_to_cancel(tmp_path, capsys):
    part = tmp_path / "part.gcode"
    part.write_bytes(LONG)
    async with listening(tmp_path / "state", "sim?speed=20") as (service, url):
        nozzled = Commands(url, capsys)
        await nozzled.until_state("Operational")
        assert await nozzled("job", "status") == "state       Operational\nfile        none selected\n"
        assert (
            await nozzled("files", "upload", str(part), "--folder", "parts", "--print")
            == "parts/part.gcode  (printing)\n"
        )
        assert service.uploaded() == {"parts/part.gcode": LONG}
        await nozzled.until_state("Printing")
        assert await nozzled("job", "pause") == "accepted; `nozzled job status` shows the state\n"
        await nozzled.until_state("Paused")
        shown = await nozzled("job", "status")
        assert shown.startswith("state       Paused\nfile        parts/part.gcode\ndone        ")
        assert " spent, about " in shown
        await nozzled("job", "resume")
        await nozzled.until_state("Printing")
        await nozzled("job", "toggle")
        await nozzled.until_state("Paused")
        assert await nozzled.json("job", "restart") is None
        await nozzled.until_state("Printing")
        refused = await nozzled.json("job", "start", code=6)
        assert refused["status"] == 409
        assert "active print job" in refused["error"]
        assert await nozzled("job", "start", code=6) == "nozzled: a print is in progress\n"
        assert await nozzled("job", "restart", code=6) == ("nozzled: no print is paused, so none can be restarted\n")
        assert await nozzled("printer", "home", code=6) == (
            "nozzled: the printer is printing; pause the print first (`nozzled job pause`), or wait until it ends\n"
        )
        await nozzled("job", "cancel")
        await nozzled.until_state("Operational")
        for request in ("pause", "cancel"):
            assert await nozzled("job", request, code=6) == "nozzled: no print is in progress\n"


@pytest.mark.real_time
async def test_files_are_listed_selected_printed_and_deleted(tmp_path, part, capsys):
    async with listening(tmp_path / "state", "sim?speed=50") as (service, url):
        nozzled = Commands(url, capsys)
        await nozzled.until_state("Operational")
        assert await nozzled("files", "upload", part) == "part.gcode\n"
        refused = await nozzled("files", "upload", part, "--keep", code=6)
        assert refused == "nozzled: part.gcode exists\n"
        row, free = (await nozzled("files", "list")).splitlines()
        assert row.split()[:2] == ["3", "kB"]
        assert row.endswith("  part.gcode")
        assert free.endswith(" GB free")
        assert [entry["path"] for entry in (await nozzled.json("files", "list"))["files"]] == ["part.gcode"]
        await nozzled("files", "select", "part.gcode")
        assert (await nozzled.json("job", "status"))["job"]["file"]["path"] == "part.gcode"
        await nozzled("files", "print", "part.gcode")
        await nozzled.until_state("Operational")
        await nozzled("files", "delete", "part.gcode")
        assert service.uploaded() == {}
        assert "no G-code file" in await nozzled("files", "print", "part.gcode", code=5)
        assert await nozzled("files", "upload", "/no/such.gcode", code=1) == (
            "nozzled: cannot read /no/such.gcode: No such file or directory\n"
        )


async def until_target(nozzled, heater, target):
    async with asyncio.timeout(TIMEOUT):
        while (await nozzled.json("printer", "temp")).get(heater, {}).get("target") != target:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.02)


@pytest.mark.real_time
async def test_the_printer_is_shown_heated_moved_and_sent_commands(tmp_path, capsys):
    async with listening(tmp_path / "state", "sim?speed=50") as (_, url):
        nozzled = Commands(url, capsys)
        await nozzled.until_state("Operational")
        await nozzled("printer", "temp", "tool0=50", "bed=40")
        await until_target(nozzled, "bed", 40)
        shown = (await nozzled("printer", "status")).splitlines()
        assert shown[:2] == ["state       Operational", "port        VIRTUAL at 115200 baud"]
        assert shown[2].endswith(" °C, target 50 °C")
        assert (await nozzled("printer", "presets")).splitlines()[0] == "PLA   nozzle 205 °C, bed 60 °C"
        await nozzled("printer", "preheat", "petg", "--tool", "nozzle")
        await until_target(nozzled, "tool0", 235)
        assert "no temperature preset" in await nozzled("printer", "preheat", "wood", code=5)
        await nozzled("printer", "cooldown")
        await until_target(nozzled, "tool0", 0)
        await nozzled("printer", "home", "X", "y")
        await nozzled("printer", "jog", "--x", "3", "--z", "-0.5", "--speed", "3000")
        await nozzled("printer", "send", "M117 one", "M117 two")
        assert "from 0 to" in await nozzled("printer", "temp", "bed=9999", code=1)
        assert await nozzled("printer", "disconnect") == "disconnected\n"
        assert await nozzled.json("printer", "status") == {
            "connection": {"state": "Closed", "port": None, "baudrate": None, "printerProfile": "_default"},
            "printer": None,
        }
        assert await nozzled("printer", "home", code=6) == (
            "nozzled: the printer is not ready; `nozzled printer status` says why\n"
        )
        assert (await nozzled("printer", "connect", "--port", "VIRTUAL")).startswith("connecting; ")
        await nozzled.until_state("Operational")


@pytest.mark.real_time
async def test_a_file_that_cannot_be_printed_now_is_still_uploaded(tmp_path, part, capsys):
    async with listening(tmp_path / "state", "") as (service, url):
        output = await Commands(url, capsys)("files", "upload", part, "--print", code=6)
        assert "uploaded but not printed" in output
        assert service.uploaded() == {"part.gcode": SHORT}


@pytest.mark.real_time
async def test_a_missing_key_exits_4_and_explains_how_to_give_one(tmp_path, capsys, monkeypatch):
    async with listening(tmp_path / "state", "") as (_, url):
        nozzled = Commands(url, capsys)
        monkeypatch.setenv("NOZZLED_API_KEY", "wrong-but-long-enough")
        refused = await nozzled("job", "status", code=4)
        assert refused == "nozzled: this API key is not valid; it came from $NOZZLED_API_KEY\n"
        monkeypatch.delenv("NOZZLED_API_KEY")
        assert "set NOZZLED_API_KEY or use --key-file" in await nozzled("job", "status", code=4)
        (tmp_path / "key").write_text(KEY + "\n")
        assert "Offline" in await nozzled("job", "status", "--key-file", str(tmp_path / "key"))


@pytest.mark.real_time
async def test_an_address_with_a_path_or_with_https_is_told_from_a_missing_service(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("daemon.client.caller.PAUSES_S", ())
    monkeypatch.setattr("daemon.client.exchange.CONNECT_TIMEOUT", 0.2)
    async with listening(tmp_path / "state", "") as (_, url):
        refused = await Commands(f"{url}/printer", capsys)("job", "status", code=5)
        assert refused.startswith(f"nozzled: {url}/printer is not a nozzled's address such as http://printer.local:")
        refused = await Commands(url.replace("http:", "https:"), capsys)("job", "status", code=3)
        assert refused.endswith("; unless a proxy encrypts for nozzled, the address must begin with http://\n")


def test_a_missing_service_exits_3(capsys, monkeypatch):
    monkeypatch.setattr("daemon.client.caller.PAUSES_S", ())
    assert main(["job", "status", "--url", "127.0.0.1:1", "--json"]) == 3
    output = capsys.readouterr()
    assert output.err.startswith("nozzled: no answer from 127.0.0.1:1: is nozzled running there?")
    assert json.loads(output.out)["status"] is None


def test_an_address_without_its_port_is_pointed_out(capsys, monkeypatch):
    monkeypatch.setattr("daemon.client.caller.PAUSES_S", ())
    assert main(["job", "status", "--url", "http://printer.invalid"]) == 3
    assert capsys.readouterr().err.endswith("; the address names no port: most often it is :5000\n")
    assert main(["job", "status", "--url", "http://printer.invalid:5000"]) == 3
    assert "port" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "body", [b"[]", b"{}", b'{"job": {"file": {"name": null}}, "progress": {}, "state": "Offline"}', b"7"]
)
@pytest.mark.parametrize("words", [("job", "status"), ("queue", "list"), ("history", "list"), ("printer", "status")])
def test_a_daemon_of_another_version_is_named_as_such(words, body, capsys, monkeypatch):
    async def answer(_exchange, _request):
        return HttpAnswer(200, {}, body)

    monkeypatch.setattr(TornadoExchange, "send", answer)
    assert main([*words, "--url", "printer.local"]) == 1
    assert capsys.readouterr().err.startswith(
        "nozzled: printer.local answers in a form that this version of nozzled does not know ("
    )


@pytest.mark.parametrize(
    "words",
    [
        ("job",),
        ("job", "stop"),
        ("files", "upload"),
        ("printer", "temp", "tool0"),
        ("printer", "temp", "bed=hot"),
        ("printer", "temp", "bed=nan"),
        ("printer", "jog", "--x", "inf"),
        ("printer", "send"),
    ],
)
def test_a_usage_error_exits_2(words, capsys):
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    assert f"usage: nozzled {words[0]}" in capsys.readouterr().err


def test_an_invalid_address_exits_1(capsys):
    assert main(["job", "status", "--url", "ftp://printer"]) == 1
    assert "is not a server's address" in capsys.readouterr().err


# -- which daemon, which key ---------------------------------------------------------------------------------------


@pytest.fixture
def settings(tmp_path):
    """A configuration whose daemon keeps its key in a folder of the test."""
    state = tmp_path / "state"
    state.mkdir()
    path = tmp_path / "nozzled.toml"
    path.write_text(f'[http]\nhost = "0.0.0.0"\nport = 8080\n[paths]\nstate_dir = "{state}"\n')
    return path


def options(config=None, url=None, key_file=None):
    return argparse.Namespace(config=config, url=url, key_file=key_file)


def write_own_key(settings):
    (settings.parent / "state" / "api-key").write_text("the-daemons-own-key\n")


def test_the_daemon_and_the_key_of_this_machine_come_from_its_configuration(settings):
    write_own_key(settings)
    server = find_server(options(settings), {})
    assert (server.url, server.key) == ("http://127.0.0.1:8080", "the-daemons-own-key")


def test_the_environment_names_another_daemon_and_key_and_the_command_line_wins(settings, tmp_path):
    environ = {"NOZZLED_URL": "http://printer:1", "NOZZLED_API_KEY": "from-the-environment"}
    server = find_server(options(settings), environ)
    assert (server.url, server.key) == ("http://printer:1", "from-the-environment")
    (tmp_path / "key").write_text("from-a-file\n")
    server = find_server(options(settings, "http://printer:2", tmp_path / "key"), environ)
    assert (server.url, server.key) == ("http://printer:2", "from-a-file")


@pytest.mark.parametrize("named", [{"url": "http://127.0.0.1:8080"}, {}])
def test_the_key_of_this_machine_is_not_sent_to_a_given_address(settings, named):
    environ = {} if named else {"NOZZLED_URL": "http://elsewhere"}
    write_own_key(settings)
    assert find_server(options(settings, **named), environ).key == ""


def test_an_unreadable_key_is_reported_with_its_path(settings, tmp_path):
    server = find_server(options(settings), {})
    assert server.key == ""
    assert str(tmp_path / "state" / "api-key") in server.no_key_text
    assert "creates the key when it first starts" in server.no_key_text
    with pytest.raises(ClientError, match="No such file"):
        find_server(options(settings, key_file=tmp_path / "none"), {})
    (tmp_path / "bytes").write_bytes(b"\xff")
    with pytest.raises(ClientError, match="not plain text"):
        find_server(options(settings, key_file=tmp_path / "bytes"), {})
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(ClientError, match=r"empty is empty: write a key into it"):
        find_server(options(settings, "http://127.0.0.1:8080", tmp_path / "empty"), {})


def test_a_configuration_without_a_port_or_with_an_error_is_reported(tmp_path):
    path = tmp_path / "nozzled.toml"
    path.write_text("[http]\nport = 0\n")
    with pytest.raises(ClientError, match="--url"):
        find_server(options(path), {"NOZZLED_API_KEY": "key"})
    path.write_text("[http]\nprot = 0\n")
    with pytest.raises(ConfigError):
        find_server(options(path), {})


@pytest.mark.parametrize(
    ("host", "url"), [("::", "http://[::1]:5000"), ("::1", "http://[::1]:5000"), ("10.0.0.5", "http://10.0.0.5:5000")]
)
def test_an_address_to_listen_on_becomes_one_to_connect_to(tmp_path, host, url, monkeypatch):
    monkeypatch.setattr(local_daemon, "_has_ipv6", lambda: True)
    path = tmp_path / "nozzled.toml"
    path.write_text(f'[http]\nhost = "{host}"\n')
    assert find_server(options(path), {"NOZZLED_API_KEY": "key"}).url == url


def test_without_ipv6_a_server_that_listens_everywhere_is_reached_by_ipv4(monkeypatch):
    monkeypatch.setattr(local_daemon, "_has_ipv6", lambda: False)
    assert local_daemon.reached_at("::") == "127.0.0.1"
    assert local_daemon.reached_at("::1") == "::1"


# -- text for users ------------------------------------------------------------------------------------------------


def test_text_of_the_server_cannot_control_the_terminal():
    assert printable("a\x1b]0;title\x07\u202eb\nüñ") == "a\\x1b]0;title\\x07\\x202eb\\x0aüñ"
    evil = {"name": "x", "path": "\x1b[2J.gcode", "origin": "local", "type": "machinecode", "refs": {"resource": ""}}
    assert _format({"files": [evil]}).endswith("\\x1b[2J.gcode")


def test_the_content_of_folders_is_listed_below_them():
    child = {"name": "b.g", "path": "a/b.g", "origin": "local", "size": 12_345_678, "refs": {"resource": ""}}
    folder = {
        "name": "a",
        "path": "a",
        "origin": "local",
        "type": "folder",
        "children": [child],
        "refs": {"resource": ""},
    }
    card = {"name": "C.GCO", "path": "C.GCO", "origin": "sdcard", "refs": {"resource": ""}}
    rows = _format({"files": [folder, card]}).splitlines()
    assert [row.split()[-1] for row in rows] == ["a/", "a/b.g", "sdcard:C.GCO"]
    assert "12,346 kB" in rows[1]


@pytest.mark.parametrize(("seconds", "shown"), [(None, ""), (0, "0:00:00"), (59.6, "0:01:00"), (93784, "26:03:04")])
def test_times_are_shown_with_hours(seconds, shown):
    assert duration(seconds) == shown


def test_an_upload_shows_a_bar_on_a_terminal_and_nothing_elsewhere(capsys):
    for shown in (True, False):
        bar = _UploadBar("part\x1b.gcode", shown=shown)
        bar.show(500_000, 2_000_000)
        bar.show(2_000_000, 2_000_000)
        bar.close()
        output = capsys.readouterr().err
        assert ("100%" in output and "2.00MB" in output and "part\\x1b.gcode" in output) == shown
        assert shown or output == ""


@pytest.mark.real_time
async def test_reasons_against_a_print_are_shown_and_can_be_overridden(tmp_path, part, capsys):
    async with listening(tmp_path / "state", "sim?speed=20") as (service, url):
        nozzled = Commands(url, capsys)
        await nozzled.until_state("Operational")
        path = tmp_path / "bad.gcode"
        path.write_bytes(SHORT + b"M112\n")
        service.analyses._enabled = True
        service.analyses._run = InlineWorker().run
        await service.analyses.open()
        for words in (("files", "upload", str(path), "--print"), ("files", "print", "bad.gcode"), ("job", "start")):
            output = await nozzled(*words, code=6)
            assert "M112 would stop the printer at once" in output
            assert "Use --force to print it anyway" in output
        assert (await nozzled.json("job", "status"))["refused"]["path"] == "bad.gcode"
        assert "refused" in await nozzled("job", "status")
        await nozzled("job", "start", "--force")
        await nozzled("job", "cancel")
        await nozzled.until_state("Operational")
        await nozzled("files", "print", "bad.gcode", "--force")
        await service.analyses.close()


@pytest.mark.real_time
async def test_the_queue_and_the_history_are_shown_and_changed(tmp_path, part, capsys):
    async with listening(tmp_path / "state", "sim?speed=50") as (_, url):
        nozzled = Commands(url, capsys)
        await nozzled.until_state("Operational")
        await nozzled("files", "upload", part)
        add = ("queue", "add", "part.gcode", "--material", "PLA", "--force", "--once", "k")
        assert await nozzled(*add) == "part.gcode waits as entry 1\n"
        assert await nozzled(*add) == "part.gcode waits as entry 1\n"
        assert await nozzled("queue", "add", "none.gcode", code=5)
        shown = (await nozzled("queue", "list")).splitlines()
        assert shown == [
            "   1  waiting      0/1  part.gcode  PLA",
            "the bed is not clear",
            "no print starts: nobody has said that the bed is clear",
        ]
        await nozzled("queue", "clear-bed")
        async with asyncio.timeout(TIMEOUT):
            while (await nozzled.json("queue", "list"))["entries"]:  # noqa: ASYNC110 - as a client polls
                await asyncio.sleep(0.1)
        assert " completed " in await nozzled("history", "list", "--state", "completed")
        assert "1 print, 1 completed" in await nozzled("history", "totals", "--by", "material")
        assert (await nozzled("history", "csv", "--from", "2020-01-01")).splitlines()[1].startswith("1,part.gcode,")
        assert (await nozzled("history", "list", "--search", "other")) == "no prints\n"


@pytest.mark.real_time
async def test_power_is_shown_and_switched(tmp_path, capsys):
    async with listening(tmp_path, switched_on=["power"]) as (service, url):
        nozzled = Commands(url, capsys)
        assert "is not running" in await nozzled("power", "status")
        assert "sudo systemctl enable --now nozzled-power" in await nozzled("power", "on", code=1)
        device = {"name": "Plug", "on": True, "error": None, "printer": True}
        power = {"devices": [device], "printer": "Plug", "on": True, "offAt": None, "auto": True, "waits": "it heats"}
        sensors = {"filament": [{"name": "left", "present": False}], "stop": {"pushed": True, "confirmed": None}}
        companions = service.front.companions
        companions.store_report("power", {**power, "sensors": sensors}, {})
        assert await nozzled("power", "status") == (
            "Plug (the printer's): on\nPlug is not switched off automatically yet: it heats\nleft: NO FILAMENT\n"
            "stop button: PUSHED, or its wire is broken\n"
        )
        refusal = {"error": 'it prints: Plug stays on. Send "force": true to switch it off anyway'}

        async def answer(status, body):
            request = (await companions.requests("power"))[0]
            companions.store_report("power", None, {request["id"]: CompanionReply(status, body)})
            return request

        answering = asyncio.create_task(answer(409, refusal))
        assert "Use --force to switch it off anyway" in await nozzled("power", "off", code=6)
        assert (await answering)["with"] == {}
        answering = asyncio.create_task(answer(200, {"device": "Plug", "on": False}))
        assert await nozzled("power", "off", "plug", "--force") == "Plug: off\n"
        assert (await answering)["with"] == {"device": "plug", "force": True}
