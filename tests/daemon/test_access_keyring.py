import json
import stat
import threading

import pytest

from daemon.errors import BadKeyName, ConfigError, DamagedFile, KeyNameTaken, NoSuchKey
from daemon.front.access import keyring as module
from daemon.front.access.keyring import FILE, MAX_KEYS, Keyring, digest
from daemon.front.access.scopes import Scope, groups, permissions


def keyring(folder, now=1000.0):
    return Keyring(folder, lambda: now)


def test_a_key_is_shown_once_and_stored_only_as_its_hash(tmp_path):
    ring = keyring(tmp_path / "state")
    key = ring.add("phone", Scope.CONTROL)
    file = tmp_path / "state" / FILE
    assert len(key) >= 43
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert key not in file.read_text()
    assert [each.name for each in file.parent.iterdir()] == [FILE]
    reloaded = keyring(tmp_path / "state")
    reloaded.load()
    identity = reloaded.identify(digest(key))
    assert (identity.name, identity.scope) == ("phone", Scope.CONTROL)
    assert reloaded.identify(digest(key + "x")) is None
    assert reloaded.identify(digest("")) is None


def test_a_revoked_key_gives_no_access(tmp_path):
    ring = keyring(tmp_path)
    other_key, gone = ring.add("a", Scope.READ), ring.add("b", Scope.ADMIN)
    keyring(tmp_path).revoke("b")  # by another process
    ring.load()
    assert ring.identify(digest(gone)) is None
    assert not ring.knows(digest(gone))
    assert ring.identify(digest(other_key)).scope is Scope.READ
    with pytest.raises(NoSuchKey, match="no key b"):
        ring.revoke("b")


def test_names_are_unique_and_of_one_line(tmp_path):
    ring = keyring(tmp_path)
    ring.add(" phone ", Scope.READ)
    with pytest.raises(KeyNameTaken, match="phone"):
        ring.add("phone", Scope.READ)
    with pytest.raises(KeyNameTaken, match="owner"):
        ring.add("owner", Scope.READ)  # the user of the first key has this name
    for name in ("", " ", "a\nb", "\x1b[31m", "x" * 65):
        with pytest.raises(BadKeyName):
            ring.add(name, Scope.READ)


def test_keys_of_one_name_are_numbered_up_to_a_limit(tmp_path):
    ring = keyring(tmp_path)
    names = [ring.add_numbered("phone", Scope.READ, 3)[0] for _ in range(3)]
    assert names == ["phone", "phone 2", "phone 3"]
    with pytest.raises(KeyNameTaken, match="phone has 3 keys: revoke some first"):
        ring.add_numbered("phone", Scope.READ, 3)


def test_the_last_use_of_a_key_is_written_on_request(tmp_path):
    ring = keyring(tmp_path, now=5000.5)
    key = ring.add("phone", Scope.READ)
    assert ring.keys[0].last_used is None
    ring.identify(digest(key))
    assert ring.keys[0].last_used == 5000
    ring.note_uses()
    again = keyring(tmp_path)
    again.load()
    assert again.keys[0].last_used == 5000


def test_a_key_added_by_another_process_survives_writing_the_last_uses(tmp_path):
    ring = keyring(tmp_path)
    key = ring.add("phone", Scope.READ)
    ring.identify(digest(key))
    keyring(tmp_path).add("other", Scope.READ)
    ring.note_uses()
    assert [each.name for each in ring.keys] == ["phone", "other"]


def test_four_writers_at_once_lose_nothing(tmp_path):
    rings = [keyring(tmp_path) for _ in range(4)]

    def add(number):
        for each in range(10):
            rings[number].add(f"{number}-{each}", Scope.READ)

    threads = [threading.Thread(target=add, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(json.loads((tmp_path / FILE).read_text())["keys"]) == 40


@pytest.mark.parametrize(
    "content", ["", "[]", '{"keys": 1}', '{"keys": [{"name": "a"}]}', '{"keys": [{"extra": 1}]}', "\xff", "{}"]
)
def test_an_unreadable_file_is_an_error_that_names_it_and_stays_as_it_is(tmp_path, content):
    (tmp_path / FILE).write_text(content, "latin-1")
    with pytest.raises(ConfigError, match=FILE):
        keyring(tmp_path).load()
    with pytest.raises(ConfigError, match=FILE):
        keyring(tmp_path).add("a", Scope.READ)
    assert (tmp_path / FILE).read_text("latin-1") == content


def test_an_unknown_scope_in_the_file_is_an_error(tmp_path):
    keyring(tmp_path).add("a", Scope.READ)
    file = tmp_path / FILE
    file.write_text(file.read_text().replace('"read"', '"root"'))
    with pytest.raises(ConfigError, match="scope is one of read, control, admin"):
        keyring(tmp_path).load()


def test_the_number_of_keys_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_KEYS", 2)
    assert MAX_KEYS > 100
    ring = keyring(tmp_path)
    ring.add("a", Scope.READ)
    ring.add("b", Scope.READ)
    with pytest.raises(ConfigError, match="revoke some"):
        ring.add("c", Scope.READ)


def test_each_scope_includes_the_ones_before_it():
    assert set(permissions(Scope.READ)) < set(permissions(Scope.CONTROL)) < set(permissions(Scope.ADMIN))
    assert "PRINT" not in permissions(Scope.READ)
    assert "SYSTEM" not in permissions(Scope.CONTROL)
    assert "admins" in groups(Scope.ADMIN)
    assert "admins" not in groups(Scope.CONTROL)


def test_a_damaged_file_is_set_aside_at_the_start_and_ignored_later(tmp_path):
    (tmp_path / FILE).write_text("[]")
    ring = keyring(tmp_path)
    ring.begin()
    assert (tmp_path / (FILE + ".damaged")).read_text() == "[]"
    key = ring.add("phone", Scope.READ)
    (tmp_path / FILE).write_text("half a fi")
    with pytest.raises(DamagedFile, match=FILE):
        ring.load()
    assert ring.identify(digest(key)) is not None


@pytest.mark.parametrize("wrong", [{"sha256": 5}, {"sha256": "é" * 64}, {"sha256": "0"}, {"name": None}])
def test_a_key_that_no_request_can_be_compared_with_is_damage(tmp_path, wrong):
    entry = {"name": "a", "scope": "read", "sha256": "0" * 64, "created": 1, **wrong}
    (tmp_path / FILE).write_text(json.dumps({"version": 1, "keys": [entry]}))
    with pytest.raises(DamagedFile, match="a key has a name"):
        keyring(tmp_path).load()
