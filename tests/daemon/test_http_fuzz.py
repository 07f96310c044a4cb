"""Malformed HTTP and forms, for minutes, beside a print: no crash, memory flat, the print intact. Nightly."""

import os
import random
import socket
import time
from contextlib import suppress

import pytest

from support.processes import TOKEN, ProcessGroup, commands_of

pytestmark = pytest.mark.nightly

SECONDS = float(os.environ.get("NOZZLED_FUZZ_SECONDS", "600"))
GROWTH = 24 * 1024 * 1024  # bytes by which the peak of memory may rise after the first tenth
PATHS = (
    "/api/job",
    "/api/files/local",
    "/api/printer/command",
    "//api//version",
    "/sockjs/websocket",
    "/sockjs/1/2/xhr_streaming",
    "/sockjs/1/2/xhr_send",
    "/plugin/appkeys/request",
    "/api/login",
    "/downloads/files/local/a.gcode",
    "/%00",
    "/" + "a" * 5000,
)
METHODS = ("GET", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "PATCH", "BREW", "")


def part(random_):
    """Return a piece of a form: whole, nested, or broken."""
    name = random_.choice(["file", "path", "print", "select", "foldername", "userdata", "x" * 500, ""])
    filename = random_.choice(
        ["", '; filename="a.gcode"', '; filename="../a.gcode"', "; filename*=utf-8''%ff", '; filename="']
    )
    content = random_.choice([b"G28\n", b"\x00" * 100, b"--b\r\n--b--\r\n", b"true", random_.randbytes(200), b""])
    kind = random_.choice(
        ["", "Content-Type: multipart/mixed; boundary=b\r\n", "Content-Transfer-Encoding: base64\r\n", "x\r\n"]
    )
    return (
        b"--b\r\n"
        + f'Content-Disposition: form-data; name="{name}"{filename}\r\n{kind}\r\n'.encode()
        + content
        + b"\r\n"
    )


def body(random_):
    """Return a body, sometimes a form, sometimes JSON, sometimes neither."""
    form = b"".join(part(random_) for _ in range(random_.randrange(5))) + random_.choice([b"--b--\r\n", b"--b", b""])
    return random_.choice(
        [
            form,
            b'{"command": "pause", "action": 5}',
            b"[" * 5000,
            b'{"command":' + b'"x"' * 10,
            random_.randbytes(300),
            b"",
        ]
    )


def request(random_):
    """Return the bytes of a request that is wrong in some way, or in none."""
    content = body(random_)
    headers = [
        b"Host: localhost",
        f"X-Api-Key: {random_.choice([TOKEN, TOKEN, 'wrong'])}".encode(),
        random_.choice(
            [b"Content-Type: application/json", b"Content-Type: multipart/form-data; boundary=b", b"Content-Type: x"]
        ),
        random_.choice(
            [
                b"Content-Length: %d" % len(content),
                b"Content-Length: %d" % (len(content) + 50),
                b"Content-Length: -1",
                b"Content-Length: 99999999999999999999",
                b"Transfer-Encoding: chunked",
                b"Transfer-Encoding: gzip, chunked",
                b"Content-Length: 5\r\nContent-Length: 7",
                b"X: " + b"y" * random_.choice([10, 40_000]),
            ]
        ),
        random_.choice(
            [b"A: b", b": nothing", b"X\x00Y: z", b" folded", b"Upgrade: websocket\r\nConnection: Upgrade", b""]
        ),
    ]
    random_.shuffle(headers)
    line = f"{random_.choice(METHODS)} {random_.choice(PATHS)} {random_.choice(['HTTP/1.1', 'HTTP/1.0', 'HTTP/9', ''])}"
    if random_.random() < 0.3:
        content = random_.choice(
            [b"zz\r\n", b"5\r\nhello\r\n0\r\n\r\n", b"ffffffffffffffff\r\n", b"-5\r\n", b"5;x=y\r\nhel"]
        )
    return line.encode() + b"\r\n" + b"\r\n".join(headers) + b"\r\n\r\n" + content


def throw(address, data, random_):
    """Send it, complete or truncated; return whether an answer was read. The only 5xx allowed is 503."""
    with suppress(OSError), socket.create_connection(address, timeout=5) as connection:
        connection.settimeout(0.05)
        cut = random_.randrange(len(data) + 1) if random_.random() < 0.3 else len(data)
        connection.sendall(data[:cut])
        if random_.random() < 0.7:
            answer = connection.recv(4096)
            assert not answer.startswith(b"HTTP/1.1 5") or b" 503 " in answer[:20], (data, answer)
            return bool(answer)
    return False


@pytest.mark.timeout(SECONDS + 600)
def test_no_malformed_request_disturbs_the_print(tmp_path, monkeypatch):
    monkeypatch.setattr("support.processes.LIFETIME", SECONDS + 500)
    seed = random.randrange(2**32)
    random_ = random.Random(seed)
    processes = ProcessGroup(tmp_path)
    try:
        printer = processes.printer(speed=1.0)
        daemon = processes.daemon("--printer", printer.address)
        print_ = tmp_path / "long.gcode"
        print_.write_bytes(
            b"G28\n" + b"".join(b"G1 X%d Y%d F3000\n" % (n % 2 * 50, n % 100) for n in range(int(SECONDS * 2)))
        )
        daemon.print_file(print_)
        address, end, first, answers = daemon.address, time.monotonic() + SECONDS, 0, 0
        warm = time.monotonic() + SECONDS / 10
        while time.monotonic() < end and daemon.running:
            answers += throw(address, request(random_), random_)
            if not first and time.monotonic() > warm:
                first = daemon.peak_memory()
        assert daemon.running, (seed, daemon.output()[-2000:])
        assert answers, "no answer came in time to be looked at"
        assert daemon.peak_memory() - first < GROWTH
        state = daemon.state
        assert state in ("Printing", "Operational"), (seed, state)
        accepted = [command for command in printer.accepted() if command.startswith("G1 X")]
        expected = [command for command in commands_of(print_) if command.startswith("G1 X")]
        assert accepted == expected[: len(accepted)]
        assert len(accepted) > 10
    finally:
        processes.close()
