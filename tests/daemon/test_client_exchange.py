"""Requests and uploads over a real socket: lost, refused early, redirected, or cut off."""

import asyncio
import errno
import os
import socket
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tornado.httpclient import HTTPClientError
from tornado.simple_httpclient import SimpleAsyncHTTPClient

from daemon.client import AccessDenied, OctoPrintClient, RequestRefused, Unreachable
from daemon.client import caller as caller_module
from daemon.client.body import FormBody
from daemon.client.errors import FileChanged, NeverSent
from daemon.client.exchange import Request, TornadoExchange
from daemon.http.upload_form import FileStart, UploadForm
from support.client import listening
from support.http import KEY
from support.waiting import TIMEOUT

pytestmark = pytest.mark.real_time

LARGE = b"G1 X1\n" * 100_000
NO_TEXT = b"\1" + os.urandom(3_000_000)  # without the \1, the random bytes that are looked at might pass as text


class Peer:
    """A server that sends one answer and hangs up; it stores what it received."""

    def __init__(self, says):
        self.says = says
        self.heard = []

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_):
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader, writer):
        with closing(writer):
            self.heard.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(self.says)


@pytest.fixture
def no_pauses(monkeypatch):
    monkeypatch.setattr(caller_module, "PAUSES_S", (0.0, 0.0))


async def test_a_file_is_uploaded_unchanged(tmp_path):
    (tmp_path / "large.gcode").write_bytes(LARGE)
    calls = []
    async with listening(tmp_path / "state", "") as (service, url), OctoPrintClient(url, KEY) as client:
        await client.files.upload(tmp_path / "large.gcode", progress=lambda *call: calls.append(call))
        assert service.uploaded() == {"large.gcode": LARGE}
    assert calls[-1] == (len(LARGE), len(LARGE))


async def test_an_empty_file_is_uploaded(tmp_path):
    async with listening(tmp_path, "") as (service, url), OctoPrintClient(url, KEY) as client:
        await client.files.upload(b"", name="empty.gcode")
        assert service.uploaded() == {"empty.gcode": b""}


@pytest.mark.parametrize(("key", "name", "status"), [("wrong", "a.gcode", 403), (KEY, "a.gcode", 413)])
async def test_an_upload_that_is_refused_is_refused_before_its_bytes_are_sent(tmp_path, key, name, status):
    calls = []
    async with (
        listening(tmp_path, "", http={"port": 0, "max_upload_mib": 1}) as (service, url),
        OctoPrintClient(url, key) as client,
    ):
        with pytest.raises(RequestRefused) as raised:
            await client.files.upload(LARGE * 4, name=name, progress=lambda *call: calls.append(call))
        assert raised.value.status == status
        assert isinstance(raised.value, AccessDenied) == (status == 403)
        assert service.uploaded() == {}
    assert calls == []


@pytest.mark.parametrize(("content", "name", "status"), [(NO_TEXT, "a.gcode", 415), (LARGE, "a.md", 415)])
async def test_a_file_refused_for_its_content_gets_an_answer(tmp_path, content, name, status):
    async with listening(tmp_path, "") as (service, url), OctoPrintClient(url, KEY) as client:
        with pytest.raises(RequestRefused, match=r"is not (a )?G-code") as raised:
            await client.files.upload(content, name=name)
        assert raised.value.status == status
        assert service.uploaded() == {}


async def test_a_server_that_hangs_up_in_the_middle_of_a_file_is_not_waited_for(monkeypatch):
    monkeypatch.setattr("daemon.client.exchange.LATE_ANSWER_TIMEOUT", 0.0)
    async with Peer(b"HTTP/1.1 100 Continue\r\n\r\n") as peer, OctoPrintClient(peer.url, KEY) as client:
        async with asyncio.timeout(TIMEOUT):
            with pytest.raises(Unreachable, match="in the middle of the file"):
                await client.files.upload(LARGE * 20, name="large.gcode")


async def test_a_file_that_shrinks_meanwhile_is_not_uploaded(tmp_path, caplog):
    path = tmp_path / "shrinks.gcode"
    path.write_bytes(LARGE)
    async with listening(tmp_path / "state", "") as (service, url), OctoPrintClient(url, KEY) as client:
        with pytest.raises(FileChanged, match=f"had {len(LARGE)} bytes"):
            await client.files.upload(path, progress=lambda *_: os.truncate(path, 70_000))
        async with asyncio.timeout(TIMEOUT):
            while service.uploaded():  # noqa: ASYNC110 - there is no event
                await asyncio.sleep(0.01)


async def test_a_file_that_grows_meanwhile_is_uploaded_as_it_was(tmp_path):
    path = tmp_path / "grows.gcode"
    path.write_bytes(LARGE)
    async with listening(tmp_path / "state", "") as (service, url), OctoPrintClient(url, KEY) as client:
        await client.files.upload(path, progress=lambda *_: path.write_bytes(LARGE + b"M84\n"))
        assert service.uploaded() == {"grows.gcode": LARGE}


async def test_a_failed_connection_counts_as_never_sent(no_pauses):
    async with Peer(b"") as peer:
        pass  # its port is closed now
    with pytest.raises(NeverSent, match=f"no answer to GET {peer.url}/api/version"):
        await OctoPrintClient(peer.url).version()


@pytest.mark.parametrize(
    ("error", "never_sent"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), True),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), True),
        (OSError(errno.EHOSTUNREACH, "No route to host"), True),
        (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), False),
        (HTTPClientError(599, "Timeout during request"), False),
    ],
)
async def test_only_a_request_that_certainly_never_left_counts_as_never_sent(error, never_sent, monkeypatch):
    async def fail(*_, **__):
        raise error

    monkeypatch.setattr(SimpleAsyncHTTPClient, "fetch", fail)
    with pytest.raises(Unreachable) as raised:
        await TornadoExchange().send(Request("GET", "http://printer.local/"))
    assert isinstance(raised.value, NeverSent) == never_sent


@pytest.mark.parametrize("says", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}", b"SSH-2.0-OpenSSH\r\n"])
async def test_a_lost_connection_is_unreachable_and_read_requests_are_repeated(says, no_pauses):
    async with Peer(says) as peer, OctoPrintClient(peer.url) as client:
        with pytest.raises(Unreachable) as raised:
            await client.version()
        assert not isinstance(raised.value, NeverSent)
        assert len(peer.heard) == 3
        with pytest.raises(Unreachable):
            await client.job.start()
        assert len(peer.heard) == 4


async def test_headers_without_end_are_no_answer(no_pauses):
    async with Peer(b"HTTP/1.1 500 " + b"x" * 70_000) as peer, OctoPrintClient(peer.url) as client:
        with pytest.raises(Unreachable):
            await client.version()


async def test_a_pipe_is_not_uploaded_as_an_empty_file(tmp_path):
    os.mkfifo(tmp_path / "part.gcode")
    with pytest.raises(OSError, match="it is not a regular file"):
        await OctoPrintClient("http://127.0.0.1:1").files.upload(tmp_path / "part.gcode")


async def test_a_silent_server_times_out():
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/"
        with pytest.raises(Unreachable, match="Timeout"):
            await TornadoExchange().send(Request("GET", url, seconds=0.2))


async def test_a_redirect_is_not_followed_with_the_key():
    async with Peer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}") as target:
        moved = f"HTTP/1.1 302 Found\r\nLocation: {target.url}/\r\nContent-Length: 0\r\n\r\n".encode()
        async with Peer(moved) as peer, OctoPrintClient(peer.url, "secret") as client:
            with pytest.raises(RequestRefused, match=f"302 it has moved to {target.url}/"):
                await client.version()
            assert b"X-Api-Key: secret" in peer.heard[0]
        assert target.heard == []


async def test_an_answer_without_end_is_cut_off(no_pauses, monkeypatch):
    monkeypatch.setattr("daemon.client.exchange.MAX_ANSWER", 100_000)
    async with Peer(b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b" " * 200_000) as peer:
        with pytest.raises(Unreachable):
            await OctoPrintClient(peer.url).version()


async def test_a_closed_client_can_be_used_again(tmp_path):
    async with listening(tmp_path, "") as (_, url):
        client = OctoPrintClient(url, KEY)
        await client.version()
        client.close()
        await client.version()
        client.close()


@given(
    name=st.text(st.characters(codec="utf-8"), min_size=1, max_size=40).filter(lambda name: "\0" not in name),
    folder=st.text(st.characters(codec="utf-8"), max_size=40),
    content=st.binary(max_size=2000),
)
async def test_the_server_reads_a_form_as_the_client_wrote_it(name, folder, content):
    form = FormBody({"path": folder, "select": "true"}, content, name)
    body = b"".join([piece async for piece in form.pieces()])
    assert len(body) == form.length
    reader = UploadForm(form.content_type)
    events = list(reader.feed(body))
    reader.end()
    assert reader.fields == {"path": folder, "select": "true"}
    assert [str(event) for event in events if isinstance(event, FileStart)] == [name]
    assert b"".join(event for event in events if not isinstance(event, FileStart)) == content
