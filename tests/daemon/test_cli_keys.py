import argparse
import asyncio
import json
from contextlib import AsyncExitStack

import pytest

from daemon import app
from daemon.cli import invitation, main
from daemon.cli.options import HOST, PORT, STATE_DIR
from daemon.cli.serve import front_command
from daemon.front.access.keyring import Keyring, digest
from daemon.front.access.scopes import Scope
from daemon.front.http.server import listen, make_app
from support.both import Service
from support.http import KEY, NOW, Api, api, config

pytestmark = pytest.mark.usefixtures("no_settings")


def run(capsys, folder, *words):
    code = main([*words, "--state-dir", str(folder)])
    output = capsys.readouterr()
    return code, output.out.strip(), output.err.strip()


def test_a_key_is_created_listed_and_revoked(capsys, tmp_path):
    code, key, note = run(capsys, tmp_path, "keys", "add", "phone", "--scope", "read")
    assert (code, "not shown again" in note) == (0, True)
    ring = Keyring(tmp_path, lambda: 0.0)
    ring.load()
    assert ring.identify(digest(key)).scope is Scope.READ
    code, listed, _ = run(capsys, tmp_path, "keys", "list")
    assert listed.splitlines()[1].split()[:2] == ["phone", "read"]
    assert key not in listed
    assert json.loads(run(capsys, tmp_path, "keys", "list", "--json")[1])[0]["name"] == "phone"
    assert run(capsys, tmp_path, "keys", "revoke", "phone")[0] == 0
    assert json.loads(run(capsys, tmp_path, "keys", "list", "--json")[1]) == []


def test_keys_says_that_its_file_is_this_computers_if_the_environment_names_another_daemon(
    capsys, tmp_path, monkeypatch
):
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    assert main(["keys", "list"]) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("NOZZLED_URL", "http://127.0.0.1:44595")
    assert main(["keys", "list"]) == 0
    assert "for this computer's own daemon, not http://127.0.0.1:44595 ($NOZZLED_URL)" in capsys.readouterr().err
    assert run(capsys, tmp_path, "keys", "list")[2] == "", "it is named on the command line"


def test_impossible_requests_are_reported_and_exit_1(capsys, tmp_path):
    assert run(capsys, tmp_path, "keys", "add", "phone")[0] == 0
    code, out, error = run(capsys, tmp_path, "keys", "add", "phone")
    assert (code, out, "there is a key phone already" in error) == (1, "", True)
    code, out, error = run(capsys, tmp_path, "keys", "revoke", "tablet")
    assert (code, "no key tablet" in error) == (1, True)


def test_the_first_key_is_rotated(capsys, tmp_path):
    before = run(capsys, tmp_path, "key")[1]
    after = run(capsys, tmp_path, "key", "--rotate")[1]
    assert before != after
    assert run(capsys, tmp_path, "key")[1] == after
    assert (tmp_path / "api-key").stat().st_mode & 0o777 == 0o600


def test_a_key_from_the_environment_is_not_rotated(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("NOZZLED_API_KEY", KEY)
    code, _, error = run(capsys, tmp_path, "key", "--rotate")
    assert (code, "NOZZLED_API_KEY" in error) == (1, True)


@pytest.mark.real_time
async def test_an_app_is_allowed_and_another_refused(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("NOZZLED_API_KEY", KEY)
    async with api(tmp_path, "", http={"port": 0}) as server:
        listening = listen(server.service.front)
        capsys.readouterr()  # what the service has logged
        url = ["--url", listening.url]

        async def keys(*words):
            return await asyncio.to_thread(run, capsys, tmp_path, "keys", *words, *url)

        polls = []
        for app in ("OctoApp", "Stranger"):
            answer = await server.post("/plugin/appkeys/request", {"app": app}, key=None, headers={"Host": "localhost"})
            polls.append(f"/plugin/appkeys/request/{answer.json['app_token']}")
        code, listed, _ = await keys("requests")
        lines = [line.split() for line in listed.splitlines()]
        assert (code, [line[1] for line in lines]) == (0, ["OctoApp", "Stranger"])
        assert (await keys("allow", lines[0][0], "--scope", "read"))[0] == 0
        assert (await keys("deny", lines[1][0]))[0] == 0
        granted = await server.get(polls[0], key=None, headers={"Host": "localhost"})
        assert (await server.get("/api/version", key=granted.json["api_key"])).status == 200
        assert (await server.get(polls[1], key=None, headers={"Host": "localhost"})).status == 404
        assert (await keys("requests"))[1] == "no app is asking for a key"
        assert (await keys("allow", lines[0][0]))[0] == 5
        await listening.close()


async def test_a_key_that_is_rotated_or_revoked_ends_within_a_second_in_the_running_daemon(capsys, tmp_path):
    async with AsyncExitStack() as stack:
        both = await app.start(stack, config(tmp_path, ""), {}, lambda: NOW)
        server = Api(Service(both), make_app(both.front))
        capsys.readouterr()  # what the service has logged
        first, phone = run(capsys, tmp_path, "key")[1], run(capsys, tmp_path, "keys", "add", "phone")[1]

        async def statuses(*keys):
            return [(await server.get("/api/version", key=key)).status for key in keys]

        await asyncio.sleep(1)
        assert await statuses(first, phone) == [200, 200]
        assert run(capsys, tmp_path, "keys", "revoke", "phone")[0] == 0
        rotated = run(capsys, tmp_path, "key", "--rotate")[1]
        await asyncio.sleep(1)
        assert await statuses(first, phone, rotated) == [403, 403, 200]


@pytest.mark.real_time
async def test_a_link_lets_a_browser_in(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("NOZZLED_API_KEY", KEY)
    async with api(tmp_path, "", http={"port": 0, "host": "127.0.0.1"}) as server:
        listener = listen(server.service.front)
        try:
            url = listener.url.rstrip("/")
            capsys.readouterr()  # the log
            assert await asyncio.to_thread(main, ["pair", "--scope", "read", "--url", url]) == 0
            link = capsys.readouterr().out.strip()
            assert link.startswith(f"{url}/#pair=")
            code = {"code": link.partition("#pair=")[2], "name": "phone"}
            paired = await server.post("/api/pair", code, key=None, headers={"Host": "localhost"})
            assert (paired.status, paired.json["scope"]) == (201, "read")
            assert await asyncio.to_thread(main, ["pair", "--url", url, "--json"]) == 0
            assert json.loads(capsys.readouterr().out)["scope"] == "control"
        finally:
            await listener.close()


def test_a_link_has_a_qr_code_if_a_phone_can_open_it():
    shown = invitation.invitation_text(
        ["http://printer.local:5000/#pair=A", "http://192.0.2.7:5000/#pair=A"], "control", 600
    )
    assert "█" in shown
    assert "http://printer.local:5000/#pair=A\n  or http://192.0.2.7:5000/#pair=A\n" in shown
    here = invitation.invitation_text(["http://127.0.0.1:5000/#pair=A"], "admin", 600)
    assert "█" not in here
    assert "--host 0.0.0.0" in here


def test_the_link_is_printed_on_a_terminal_and_never_into_a_journal(monkeypatch):
    args = argparse.Namespace(config=None, **{STATE_DIR: None, HOST: None, PORT: None})
    assert "--greet" not in front_command(args)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert front_command(args)[-1] == "--greet"
