"""Delivery of notifications: apprise in a process of its own, targets and their secrets, pictures."""

import asyncio
import json
import sys
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from daemon.companions.notify import child
from daemon.companions.notify.picture import is_jpeg
from daemon.companions.notify.senders import Apprise, Notification
from daemon.companions.notify.targets import Target, file_of, how_to_add, load, parse
from daemon.errors import ConfigError
from support.waiting import TIMEOUT

LETTER = Notification("1-k", "done", "MK3: a.gcode is done", "It took 3 h.", {}, 1_700_000_000)
SECRET = "s3cr3t-t0ken"


@asynccontextmanager
async def sink(status="200 OK"):
    """Take what apprise's json:// sends, on a port of this machine."""
    requests = []

    async def answer(reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = int(head.lower().split("content-length:")[1].split("\r\n")[0])
        requests.append((head, json.loads(await reader.readexactly(length))))
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield requests, server.sockets[0].getsockname()[1]


def picture():
    out = BytesIO()
    Image.new("RGB", (8, 8), (200, 30, 30)).save(out, "JPEG")
    return out.getvalue()


@pytest.mark.real_time
async def test_apprise_sends_a_message_with_its_picture(tmp_path):
    file = tmp_path / "picture.jpg"
    file.write_bytes(picture())
    notification = Notification(LETTER.identity, "done", LETTER.title, LETTER.body, {}, LETTER.date, picture(), file)
    async with sink() as (requests, port):
        assert (
            await Apprise(60).send(Target("phone", "json", f"json://127.0.0.1:{port}/{SECRET}"), notification) is None
        )
    [(_, body)] = requests
    assert (body["title"], body["message"], body["type"]) == (LETTER.title, LETTER.body, "success")
    [attached] = body["attachments"]
    assert attached["mimetype"] == "image/jpeg"


@pytest.mark.nightly
@pytest.mark.real_time
async def test_a_refusal_is_reported_by_its_status_without_the_address():
    async with sink("401 Unauthorized") as (_, port):
        reason = await Apprise(60).send(Target("phone", "json", f"json://127.0.0.1:{port}/{SECRET}"), LETTER)
    assert reason == "401"
    gone = await Apprise(60).send(Target("phone", "json", f"json://127.0.0.1:9/{SECRET}"), LETTER)
    assert gone == "cannot be reached"
    unknown = await Apprise(60).send(Target("phone", "x", f"noservice://{SECRET}"), LETTER)
    assert unknown == "apprise does not know this kind of address"


STRANGE = {
    "hangs": ("import time; time.sleep(600)", "it took longer than 1 s"),
    "dies": ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "apprise's process died (-9)"),
    "lies": ('print(\'{"sent": "yes"}\')', "refused"),
    "talks": ("print('x' * 10**6)", "apprise's process died (0)"),
}


@pytest.mark.real_time
@pytest.mark.parametrize("kind", STRANGE)
async def test_a_misbehaving_process_is_ended_in_time(kind):
    program, reason = STRANGE[kind]
    sender = Apprise(1 if kind == "hangs" else TIMEOUT, (sys.executable, "-S", "-c", program))
    assert (await sender.send(Target("phone", "json", "json://x"), LETTER)).startswith(reason)


@pytest.mark.real_time
async def test_addresses_are_hidden(tmp_path):
    """Neither the command line nor the environment of the process contains the address."""
    arguments = tmp_path / "seen"
    program = f"""
import json, os, sys
asked = json.load(sys.stdin)
with open({str(arguments)!r}, "wb") as file:
    file.write(open("/proc/self/cmdline", "rb").read() + open("/proc/self/environ", "rb").read())
print(json.dumps({{"sent": asked["url"].endswith({SECRET!r})}}))
"""
    sender = Apprise(TIMEOUT, (sys.executable, "-S", "-c", program))
    assert await sender.send(Target("phone", "json", f"json://x/{SECRET}"), LETTER) is None
    assert SECRET.encode() not in arguments.read_bytes().replace(program.encode(), b"")


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["Failed to send JSON POST notification: Unauthorized, error=401.", "Response Details: b''"], "401"),
        ([f"A Connection error occurred sending JSON to http://{SECRET}"], "cannot be reached"),
        (["HTTPSConnectionPool: Read timed out."], "no answer in time"),
        ([SECRET], "refused"),
        ([], "refused"),
    ],
)
def test_reasons_contain_no_text_of_the_target(lines, reason):
    assert child.reason_of(lines) == reason


def test_targets_are_lines_with_a_name():
    targets = parse("# mine\n\nphone tgram://T/C\nhome webhook:https://x.example/y " + "k" * 32, "targets")
    assert [(each.name, each.kind) for each in targets] == [("phone", "tgram"), ("home", "webhook")]
    assert "tgram://T/C" not in repr(targets)
    assert "k" * 32 not in repr(targets)


@pytest.mark.parametrize(
    "line",
    [
        f"json://{SECRET}",
        f"phone {SECRET}",
        f"phone json://{SECRET} {SECRET}",
        f"phone webhook:https://{SECRET}",
        f"phone webhook:https://{SECRET} short",
        f"phone webhook:ftp://{SECRET} {'k' * 32}",
        f"phone json://{SECRET}\nphone json://{SECRET}",
        "\n".join(f"p{number} json://{SECRET}" for number in range(11)),
    ],
)
def test_a_wrong_line_is_named_by_number_and_not_quoted(line):
    with pytest.raises(ConfigError) as caught:
        parse(line, "targets")
    assert SECRET not in str(caught.value)
    assert str(caught.value).startswith("targets")


def test_a_file_readable_by_others_is_refused(tmp_path):
    path = tmp_path / "targets"
    assert load(path, {}) == []
    path.write_text("phone json://x")
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        load(path, {})
    path.chmod(0o600)
    assert len(load(path, {})) == 1
    path.write_bytes(b"\xff\n")
    with pytest.raises(ConfigError, match="UTF-8"):
        load(path, {})


def test_a_credential_of_systemd_overrides_the_folder(tmp_path):
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    environ = {"CREDENTIALS_DIRECTORY": str(credentials)}
    assert file_of("", tmp_path, environ) == tmp_path / "targets"
    credential = credentials / "nozzled.notify-targets"
    credential.write_text("phone json://x")
    credential.chmod(0o440)  # as systemd gives it
    assert file_of("", tmp_path, environ) == credential
    assert len(load(credential, environ)) == 1
    assert file_of("~/x", tmp_path, environ) == Path("~/x").expanduser()


def test_a_mistake_in_a_credential_names_the_file_to_edit(tmp_path):
    credential = tmp_path / "nozzled.notify-targets"
    credential.write_text("json://x\n")
    for source, unit in (
        ("/etc/nozzled.notify-targets", "nozzled-notify"),
        ("/etc/nozzled/left.notify-targets", "nozzled-notify@left"),
    ):
        environ = {"CREDENTIALS_DIRECTORY": str(tmp_path), "NOZZLED_NOTIFY_TARGETS": source}
        with pytest.raises(ConfigError, match=f"^{source}, line 1: "):
            load(credential, environ)
        assert how_to_add(credential, environ).endswith(f"into {source} (chmod 600) and restart {unit}")


def test_only_a_complete_jpeg_is_a_picture():
    good = picture()
    assert is_jpeg(good)
    assert is_jpeg(good + b"\r\n")
    for bad in (b"", good[:-20], b"<html>", good + b"x" * 10, b"\xff\xd8\xff" + b"x" * 6_000_000 + b"\xff\xd9"):
        assert not is_jpeg(bad)
