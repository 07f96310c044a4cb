"""HTTP on a real socket: keep-alive, slow and vanishing clients, a port in use, memory."""

import asyncio
import http.client
import importlib
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.errors import AddressInUse
from daemon.front.http import server as module
from daemon.front.http.base import ApiHandler
from support.http import KEY, api, form
from support.waiting import TIMEOUT, until

HEAD = f"Host: localhost\r\nX-Api-Key: {KEY}\r\n"


def port_of(listener):
    return int(listener.url.rsplit(":", 1)[1].strip("/"))


async def read_answer(reader):
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
    return int(head.split()[1]), head, await reader.readexactly(int(length[1]) if length else 0)


@pytest.mark.real_time
async def test_a_connection_is_reused_even_after_refusals(tmp_path):
    async with api(tmp_path, "", http={"port": 0}) as server:
        listener = module.listen(server.service.front)
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(listener))
        for method, path, key, body, status in [
            ("GET", "/api/version", KEY, "", 200),
            ("GET", "/api/version", "wrong", "", 403),
            ("POST", "/api/job", "wrong", "x" * 5000, 403),
            ("POST", "/api/job", KEY, "x" * 100_000, 413),
            ("POST", "/api/job", KEY, "{}", 409),
            ("DELETE", "/api/job", KEY, "", 405),
            ("GET", "/nowhere", KEY, "", 404),
            ("GET", "/api/job", KEY, "", 200),
        ]:
            length = f"Content-Length: {len(body)}\r\n" if body else ""
            writer.write(f"{method} {path} HTTP/1.1\r\nHost: x\r\nX-Api-Key: {key}\r\n{length}\r\n{body}".encode())
            assert (await read_answer(reader))[0] == status
        writer.close()
        await writer.wait_closed()
        await listener.close()


@pytest.mark.real_time
@pytest.mark.parametrize(
    "start",
    [
        "",
        "GET /api/job HTTP/1.1\r\n",
        f"POST /api/job HTTP/1.1\r\n{HEAD}Content-Length: 1000\r\n\r\n",
        "POST /api/job HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n",
    ],
)
async def test_a_client_that_sends_too_slowly_is_disconnected(tmp_path, start, monkeypatch):
    monkeypatch.setattr(module, "IDLE_TIMEOUT", 0.5)
    monkeypatch.setattr(module, "BODY_TIMEOUT", 0.5)
    async with api(tmp_path, "", http={"port": 0}) as server:
        listener = module.listen(server.service.front)
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(listener))
        writer.write(start.encode())
        ended = asyncio.ensure_future(reader.read())
        async with asyncio.timeout(TIMEOUT):
            while not ended.done():
                writer.write(b"x: y\r\n" if "Content-Length" not in start and start else b"")
                await asyncio.wait([ended], timeout=0.1)
        assert ended.result() == b"" or b" 403 " in ended.result()
        writer.close()
        await listener.close()


@pytest.mark.real_time
async def test_an_aborted_upload_leaves_nothing_and_others_continue(tmp_path):
    body, kind = form(("file", "a.gcode", b"G1 X1\n" * 100_000))
    head = f"POST /api/files/local HTTP/1.1\r\n{HEAD}Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    async with api(tmp_path, "", http={"port": 0}) as server:
        listener = module.listen(server.service.front)
        _, writer = await asyncio.open_connection("127.0.0.1", port_of(listener))
        writer.write(head.encode() + body[: len(body) // 2])
        await writer.drain()
        await until(server.uploaded)
        reader, other = await asyncio.open_connection("127.0.0.1", port_of(listener))
        other.write(f"GET /api/job HTTP/1.1\r\n{HEAD}\r\n".encode())
        assert (await read_answer(reader))[0] == 200
        writer.transport.abort()
        await until(lambda: not server.uploaded())
        other.close()
        await listener.close()


@pytest.mark.real_time
async def test_a_client_that_sends_everything_first_still_gets_its_refusal(tmp_path):
    body, kind = form(("file", "a.stl", b"solid\n" * 1_000_000))

    def upload(port, key):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
        connection.request("POST", "/api/files/local", body, {"Content-Type": kind, "X-Api-Key": key})
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer.status

    async with api(tmp_path, "", http={"port": 0}) as server:
        listener = module.listen(server.service.front)
        assert await asyncio.to_thread(upload, port_of(listener), KEY) == 415
        assert await asyncio.to_thread(upload, port_of(listener), "wrong") == 403
        assert server.uploaded() == {}
        await listener.close()


@pytest.mark.real_time
async def test_a_port_in_use_is_an_error_that_names_its_holder(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with api(tmp_path, "", http={"port": port}) as server:
            with pytest.raises(AddressInUse, match=rf"127\.0\.0\.1:{port} is taken by .*\(pid {os.getpid()}\)"):
                module.listen(server.service.front)


@pytest.mark.real_time
async def test_an_address_of_another_machine_is_an_error(tmp_path):
    async with api(tmp_path, "", http={"host": "192.0.2.1", "port": 0}) as server:
        with pytest.raises(AddressInUse, match=r"cannot listen on 192\.0\.2\.1"):
            module.listen(server.service.front)


SERVE = """
import asyncio, sys
from pathlib import Path
from support.http import api
from daemon.front.http.server import listen
async def main():
    async with api(Path(sys.argv[1]), "", http={"port": 0}) as server:
        print(listen(server.service.front).url, flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


def peak_kib(pid):
    return int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])


def send_large(port, mebibytes):
    block = b"G1 X10 Y20 E0.5\n" * 65536  # 1 MiB
    start, end = form(("file", "large.gcode", b"@"))[0].split(b"@")
    size = len(start) + mebibytes * len(block) + len(end)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    headers = {"X-Api-Key": KEY, "Content-Type": form()[1], "Content-Length": str(size)}
    connection.request("POST", "/api/files/local", iter([start, *[block] * mebibytes, end]), headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


def test_a_large_upload_and_its_download_use_little_memory(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    process = subprocess.Popen([sys.executable, "-c", SERVE, str(tmp_path)], stdout=subprocess.PIPE, env=environment)
    try:
        url = next(line.decode() for line in process.stdout if line.startswith(b"http://"))  # before it, the log
        port = int(url.rsplit(":", 1)[1].strip().strip("/"))
        assert send_large(port, 1) == 201  # imports and buffers are there now
        before = peak_kib(process.pid)
        assert send_large(port, 64) == 201
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
        connection.request("GET", "/downloads/files/local/large.gcode", headers={"X-Api-Key": KEY})
        assert len(connection.getresponse().read()) == 64 * 1024 * 1024
        connection.close()
        assert peak_kib(process.pid) - before < 20 * 1024
    finally:
        process.terminate()
        process.wait(TIMEOUT)
        process.stdout.close()


def test_every_lazily_loaded_handler_exists():
    routes = re.findall(r'lazy\("(\w+)", "(\w+)"\)', Path(module.__file__).read_text())
    assert len(routes) > 40
    for where, name in routes:
        target = module.lazy(where, name)
        assert issubclass(getattr(importlib.import_module(target.module), target.name), ApiHandler)
