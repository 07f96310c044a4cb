"""`nozzled farm join` and `agent`: the configuration from an enrolment, and why one is refused."""

import json
import tomllib

import pytest

from daemon.cli import main
from daemon.companions.farm.config import read, seed

CREDENTIALS = {
    "id": "mk3",
    "servers": ["tls://farm.local:4222"],
    "group": "large",
    "seed": "SUAKY" + "A" * 53,
    "ca": "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n",
    "made": 1.5,
}


def test_an_enrolment_becomes_a_seed_and_a_section(tmp_path, capsys):
    file, config = tmp_path / "mk3.json", tmp_path / "nozzled.toml"
    file.write_text(json.dumps(CREDENTIALS))
    assert main(["farm", "join", str(file), "--config", str(config)]) == 0
    shown = capsys.readouterr().out
    assert "SUAKY" not in shown, "the seed is secret"
    assert f"nozzled farm agent --config {config}" in shown
    config.write_text(shown)
    section = read(config, {})
    assert (section.id, section.servers, section.group) == ("mk3", ("tls://farm.local:4222",), "large")
    assert seed(section, {}) == CREDENTIALS["seed"]
    assert (tmp_path / "nozzled.farm-seed").stat().st_mode & 0o777 == 0o600
    assert tomllib.loads(shown)["farm"]["ca_file"] == str(tmp_path / "nozzled.farm-ca.pem")


@pytest.mark.parametrize(
    "change",
    [
        {"id": "MK 3"},
        {"servers": []},
        {"servers": ['x"]\nevil = 1']},
        {"seed": ""},
        {"seed": 5},
        {"group": 'a"\nb'},
    ],
)
def test_an_invalid_enrolment_writes_nothing(tmp_path, capsys, change):
    file = tmp_path / "mk3.json"
    file.write_text(json.dumps({**CREDENTIALS, **change}))
    assert main(["farm", "join", str(file), "--config", str(tmp_path / "nozzled.toml")]) != 0
    assert not (tmp_path / "nozzled.farm-seed").exists()
    assert capsys.readouterr().out == ""


def test_an_agent_without_its_section_is_refused(tmp_path, capsys):
    (tmp_path / "nozzled.toml").write_text("")
    assert main(["farm", "agent", "--config", str(tmp_path / "nozzled.toml"), "--state-dir", str(tmp_path)]) != 0
    assert "farm is not switched on" in capsys.readouterr().err
