import os
import stat

import pytest

from daemon.config import ApiConfig, Config
from daemon.errors import ConfigError, DamagedFile
from daemon.front.access.access import Access
from daemon.front.access.keys import Keys, own_uuid
from support.http import NOW


def test_the_first_start_creates_a_private_key_and_later_starts_use_it(tmp_path):
    old = os.umask(0)
    try:
        first = Keys.load(Config(), tmp_path / "state", {})
    finally:
        os.umask(old)
    file = tmp_path / "state/api-key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(first.key) >= 32
    assert Keys.load(Config(), tmp_path / "state", {}).key == first.key
    assert [each.name for each in file.parent.iterdir()] == ["api-key"]


def test_two_installations_have_different_keys(tmp_path):
    assert Keys.load(Config(), tmp_path / "a", {}).key != Keys.load(Config(), tmp_path / "b", {}).key


def test_a_key_from_the_environment_overrides_the_file_and_creates_none(tmp_path):
    keys = Keys.load(Config(), tmp_path, {"NOZZLED_API_KEY": "sixteen-characte"})
    assert keys.key == "sixteen-characte"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("key", ["short", "fifteen-charact", "with blanks in the middle", "nïcht-in-ascii-text"])
def test_a_key_that_is_too_short_or_not_plain_text_is_refused(tmp_path, key):
    with pytest.raises(ConfigError, match="NOZZLED_API_KEY"):
        Keys.load(Config(), tmp_path, {"NOZZLED_API_KEY": key})


def test_an_empty_variable_counts_as_unset(tmp_path):
    keys = Keys.load(Config(), tmp_path, {"NOZZLED_API_KEY": ""})
    assert (tmp_path / "api-key").read_text().strip() == keys.key


def test_two_simultaneous_first_starts_share_one_key(tmp_path, monkeypatch):
    other = []

    def slow(descriptor):
        monkeypatch.undo()
        other.append(Keys.load(Config(), tmp_path, {}))  # begins and ends in the middle of the first
        os.fsync(descriptor)

    monkeypatch.setattr(os, "fsync", slow)
    first = Keys.load(Config(), tmp_path, {})
    assert first.key == other[0].key == (tmp_path / "api-key").read_text().strip()
    assert [each.name for each in tmp_path.iterdir()] == ["api-key"]


@pytest.mark.parametrize("content", [b"", b"short\n", b"\xff" * 40])
def test_a_damaged_key_is_set_aside_and_replaced_unless_the_configuration_names_its_file(tmp_path, content):
    (tmp_path / "api-key").write_bytes(content)
    configured = Config(api=ApiConfig(key_file=str(tmp_path / "api-key")))
    with pytest.raises(ConfigError, match=str(tmp_path / "api-key")):
        Keys.load(configured, tmp_path, {})
    assert len(Keys.load(Config(), tmp_path, {}).key) >= 43
    assert (tmp_path / "api-key.damaged").read_bytes() == content


@pytest.mark.parametrize("content", [b"", b"x", b"\xff" * 36])
def test_a_damaged_uuid_is_set_aside_and_replaced(tmp_path, content):
    (tmp_path / "uuid").write_bytes(content)
    assert own_uuid(tmp_path) == own_uuid(tmp_path) != ""
    assert (tmp_path / "uuid.damaged").read_bytes() == content


def test_the_file_can_be_elsewhere(tmp_path):
    config = Config(api=ApiConfig(key_file=str(tmp_path / "etc/key")))
    key = Keys.load(config, tmp_path / "state", {}).key
    assert (tmp_path / "etc/key").read_text().strip() == key


def test_a_file_that_cannot_be_created_is_an_error_that_names_it(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=f"the API key in {tmp_path}/file/key"):
        Keys.load(Config(api=ApiConfig(key_file=str(tmp_path / "file/key"))), tmp_path, {})


def test_only_the_key_itself_is_accepted():
    keys = Keys("0123456789abcdef")
    assert keys.accepts("0123456789abcdef")
    for wrong in ("", "0123456789abcde", "0123456789abcdef0", "0123456789ABCDEF", "schlüssel", "\ud800"):
        assert not keys.accepts(wrong)


def test_a_damaged_list_of_named_keys_does_not_hide_a_rotated_first_key(tmp_path):
    access = Access(Keys.load(Config(), tmp_path, {}), tmp_path, lambda: NOW)
    old = access.keys.key
    Keys.load(Config(), tmp_path, {}).rotate()  # as `nozzled key --rotate` does
    (tmp_path / "keys.json").write_text("[]")
    with pytest.raises(DamagedFile):
        access.load()
    assert not access.keys.accepts(old)
