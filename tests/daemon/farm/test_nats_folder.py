"""`nozzled farm init`, `enrol` and `revoke`: files and refusals; a real NATS reads the files in test_farm_security."""

import json
import os
import stat
import tomllib
from pathlib import Path

import pytest

from daemon import cli
from daemon.errors import ConfigError
from daemon.farm.carrier.subjects import SERVER_INBOX
from daemon.farm.nats_server import certificates
from daemon.farm.nats_server.folder import NatsFolder
from daemon.farm.nats_server.users import NatsUser, render_users


@pytest.fixture(scope="module")
def farm(tmp_path_factory):
    path = tmp_path_factory.mktemp("nats")
    NatsFolder(path).init(["farm.local", "192.0.2.7"], 4333, path / "store")
    return path


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_init_writes_keys_that_other_users_cannot_read_and_syncs_each_message(farm):
    assert {
        mode(farm / name) & 0o007 for name in ("ca.key", "server.key", "server.seed", "users.conf", "farm.json")
    } == {0}
    text = (farm / "nats.conf").read_text()
    assert "sync_interval: always" in text
    assert 'include "users.conf"' in text
    assert "leafnodes" not in text


def test_init_does_not_touch_an_existing_farm(farm):
    before = (farm / "server.seed").read_bytes()
    with pytest.raises(ConfigError, match="has a farm already"):
        NatsFolder(farm).init(["other"], 1, farm)
    assert (farm / "server.seed").read_bytes() == before


@pytest.mark.parametrize("host", ["", "a b", "a,DNS:evil", "a\nb", '"', "-x", "farm.local:4222"])
def test_init_refuses_an_invalid_host_name(tmp_path, host):
    with pytest.raises(ConfigError, match="not a host name"):
        NatsFolder(tmp_path / "new").init([host], 4222, tmp_path)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("port", "leaf_port", "problem"),
    [
        (0, 0, "--port must be from 1 to 65535, not 0"),
        (65536, 0, "--port must be"),
        (4222, -1, "--sites must be"),
        (4222, 4222, "need different ports"),
    ],
)
def test_init_refuses_a_port_with_which_nats_would_not_start(tmp_path, port, leaf_port, problem):
    with pytest.raises(ConfigError, match=problem):
        NatsFolder(tmp_path / "new").init(["farm.local"], port, tmp_path / "store", leaf_port=leaf_port)
    assert not (tmp_path / "new").exists()


def test_a_farm_that_is_made_by_relative_names_works_from_any_folder(tmp_path, monkeypatch):
    """NATS would not find its certificate; `revoke` would not find NATS, and say that it does not run."""
    monkeypatch.chdir(tmp_path)
    NatsFolder(Path("new")).init(["farm.local"], 4222, Path("store"))
    text = (tmp_path / "new/nats.conf").read_text()
    for path in ("new/server.pem", "new/server.key", "store/nats.pid", "store"):
        assert f'"{tmp_path / path}"' in text
    monkeypatch.chdir("/")
    (tmp_path / "store/nats.pid").write_text(f"{os.getpid()}")
    assert f"process {os.getpid()} is" in NatsFolder(tmp_path / "new").reload()


@pytest.mark.parametrize("host", [f"{'a' * 60}.example.org", "2001:db8::7"])
def test_long_names_and_addresses_get_a_certificate(tmp_path, host):
    NatsFolder(tmp_path / "new").init([host], 4222, tmp_path / "store")
    [address] = NatsFolder(tmp_path / "new").enrol("mk3").servers
    assert address == f"tls://{f'[{host}]' if ':' in host else host}:4222"


@pytest.mark.parametrize(
    ("script", "reason"), [("exec sleep 60", "not ended within"), (r"printf '\351'; exit 1", "failed")]
)
def test_an_openssl_that_hangs_or_fails_is_reported_in_a_sentence(tmp_path, monkeypatch, script, reason):
    program = tmp_path / "openssl"
    program.write_text(f"#!/bin/sh\n{script} >&2\n")
    program.chmod(0o755)
    monkeypatch.setattr(certificates, "TIMEOUT", 0.5)
    monkeypatch.setattr(certificates.shutil, "which", lambda _: str(program))
    with pytest.raises(ConfigError, match=reason):
        NatsFolder(tmp_path / "new").init(["farm.local"], 4222, tmp_path / "store")


def test_an_enrolment_has_all_that_a_printer_needs_and_its_seed_is_not_stored(farm, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["farm", "enrol", "mk3", "--group", "large", "--folder", str(farm)]) == 0
    written = tmp_path / "mk3.farm"
    assert mode(written) == 0o600
    result = json.loads(written.read_text())
    assert (result["id"], result["group"]) == ("mk3", "large")
    assert result["servers"] == ["tls://farm.local:4333", "tls://192.0.2.7:4333"]
    assert result["seed"].startswith("SU")
    assert result["ca"].startswith("-----BEGIN CERTIFICATE-----")
    assert not [path for path in farm.iterdir() if path.is_file() and result["seed"] in path.read_text()]
    assert "NATS is not running here" in capsys.readouterr().out
    users = (farm / "users.conf").read_text()
    assert '"farm.claim.mk3"' in users
    assert "$JS" not in users


def test_a_name_is_enrolled_once_and_revoked_by_name(farm):
    folder = NatsFolder(farm)
    first = folder.enrol("mini-1")
    with pytest.raises(ConfigError, match="enrolled already"):
        folder.enrol("mini-1")
    assert folder.enrol("mini-1", again=True).seed != first.seed
    assert (farm / "users.conf").read_text().count("printer mini-1") == 1
    folder.revoke("mini-1")
    assert "mini-1" not in (farm / "users.conf").read_text()
    with pytest.raises(ConfigError, match="'mini-1' is not enrolled"):
        folder.revoke("mini-1")
    with pytest.raises(ConfigError, match="is not enrolled"):
        folder.revoke("server")


@pytest.mark.parametrize("name", ["", "MK3", "a" * 33, "a.b", "a*", "a>", 'a"', "a b", "ä", "mk3\n"])
def test_an_invalid_name_is_refused(farm, name):
    with pytest.raises(ConfigError, match="a-z, 0-9"):
        NatsFolder(farm).enrol(name)


def test_a_printer_named_server_is_not_the_server():
    text = render_users([NatsUser(name="server", role="printer", nkey="UX")])
    assert f"{SERVER_INBOX}." not in text, "a printer of this name would read the answers to the server"
    assert '"farm.claim.server"' in text


@pytest.mark.parametrize("pid", ["", "x", "99999999", str(os.getpid()), "1"], ids=["empty", "x", "gone", "own", "init"])
def test_only_nats_gets_a_signal(farm, pid):
    (farm / "store").mkdir(exist_ok=True)
    (farm / "store/nats.pid").write_text(pid)
    assert "will read its users when it starts" in NatsFolder(farm).reload()


def test_a_site_is_set_up_from_the_enrolment_of_its_hub(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def farm(*arguments):
        assert cli.main(["farm", *arguments]) == 0
        return capsys.readouterr().out

    monkeypatch.setattr("daemon.cli.farm_serve.FOLDER", tmp_path / "hub")
    text = farm("init", "hub", "--sites", "--host", "hub.example", "--store", "hub-store")
    assert "systemctl enable" in text
    assert set(tomllib.loads(text[text.index("[nats]") : text.index("Printers reach")])["nats"]) == {"urls", "ca_file"}
    assert "init --hub munich.farm" in farm("enrol", "munich", "--site", "--folder", "hub")
    users = (tmp_path / "hub/users.conf").read_text()
    assert '"farm.site.munich.*"' in users
    assert "farm.claim" not in users
    text = farm("init", "site", "--hub", "munich.farm", "--store", "site-store")
    printed = tomllib.loads(text[text.index("[nats]") : text.index("Printers reach")])
    assert printed["nats"]["seed_file"] == str(tmp_path / "site/server.seed"), "no unit hands over the seed"
    assert printed["sites"] == {"site": "munich"}
    conf = (tmp_path / "site/nats.conf").read_text()
    assert "domain: munich" in conf
    assert '"tls://hub.example:7422"' in conf
    assert mode(tmp_path / "site/nats.conf") & 0o007 == 0, "it has the site's key"
    assert (tmp_path / "site/hub-ca.pem").read_bytes() == (tmp_path / "hub/ca.pem").read_bytes()
    farm("init", "plain", "--host", "a", "--store", "plain-store")
    assert cli.main(["farm", "enrol", "paris", "--site", "--folder", "plain"]) != 0
    assert "init --sites" in capsys.readouterr().err
    (tmp_path / "bad.farm").write_text("{}")
    assert cli.main(["farm", "init", "other", "--hub", "bad.farm", "--store", "x"]) != 0
    assert "enrol --site" in capsys.readouterr().err
