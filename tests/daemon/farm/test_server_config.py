"""/etc/nozzled-farm.toml: accepted and refused values."""

import os

import pytest

from daemon.errors import ConfigError, StateDirTaken
from daemon.farm.server.config import (
    FarmServerConfig,
    list_url,
    nats_address,
    read_config,
    render_config,
    state_folder,
    with_address,
)
from daemon.farm.server.service import take_lock


def test_a_written_configuration_is_read_back(tmp_path):
    path = tmp_path / "farm.toml"
    path.write_text(render_config(FarmServerConfig()))
    assert read_config(path, {}) == FarmServerConfig()
    assert read_config(path, {}).http.port == 5050


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[natz]", "unknown section"),
        ("[nats]\nurl = 1", "nats"),
        ("x", "not valid TOML"),
        ("[list]\nurl = 'mysql://x'", "postgresql"),
        ("[list]\nlease_s = 1", "lease_s"),
        ("[list]\naway_s = 10", "away_s"),  # a printer reports as often
        ("[sites]\nsites = ['a b']", "a-z"),
        ("[sites]\nsite = 'x'\nsites = ['y']", "no sites of its own"),
    ],
)
def test_invalid_settings_are_refused(tmp_path, text, reason):
    (tmp_path / "farm.toml").write_text(text)
    with pytest.raises(ConfigError, match=reason):
        read_config(tmp_path / "farm.toml", {})


def test_the_seed_comes_from_its_file_or_from_systemd(tmp_path):
    (tmp_path / "nozzled-farm.seed").write_text("SUABC\n")
    assert nats_address(FarmServerConfig(), {}).seed == ""
    assert nats_address(FarmServerConfig(), {"CREDENTIALS_DIRECTORY": str(tmp_path)}).seed == "SUABC"
    (tmp_path / "farm.toml").write_text(f'[nats]\nseed_file = "{tmp_path}/nozzled-farm.seed"')
    assert nats_address(read_config(tmp_path / "farm.toml", {}), {}).seed == "SUABC"
    (tmp_path / "farm.toml").write_text('[nats]\nseed_file = "/nowhere"')
    with pytest.raises(ConfigError, match="cannot read /nowhere"):
        nats_address(read_config(tmp_path / "farm.toml", {}), {})


def test_the_list_is_in_the_state_folder_unless_configured(tmp_path):
    folder = state_folder({"STATE_DIRECTORY": str(tmp_path / "state")})
    assert list_url(FarmServerConfig(), folder) == f"sqlite:///{tmp_path}/state/farm.db"
    assert with_address(FarmServerConfig(), "0.0.0.0", 0).http.port == 0
    assert with_address(FarmServerConfig(), None, None) == FarmServerConfig()
    for port in (-1, 65536, 99999):
        with pytest.raises(ConfigError, match=f"--port must be from 0 to 65535, not {port}"):
            with_address(FarmServerConfig(), None, port)


def test_two_servers_cannot_share_a_folder(tmp_path):
    lock = take_lock(tmp_path)
    with pytest.raises(StateDirTaken, match="its own folder"):
        take_lock(tmp_path)
    os.close(lock)
    os.close(take_lock(tmp_path))
