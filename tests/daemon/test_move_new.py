"""A move that replaces nothing, with hard links and on file systems without them, such as FAT."""

import errno
import os

import pytest

from daemon.config import Config
from daemon.front.access.keys import Keys
from daemon.move_new import move_new


@pytest.fixture(params=[None, errno.EPERM, errno.EOPNOTSUPP], ids=["hard links", "FAT", "share"])
def file_system(request, monkeypatch):
    """Let hard links fail as the file system lets them."""
    if request.param is not None:

        def refuse(*_args, **_options):
            raise OSError(request.param, os.strerror(request.param))

        monkeypatch.setattr(os, "link", refuse)


@pytest.mark.usefixtures("file_system")
def test_a_file_is_moved(tmp_path):
    (tmp_path / "a").write_text("text")
    move_new(tmp_path / "a", tmp_path / "b")
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("b", "text")]


@pytest.mark.usefixtures("file_system")
@pytest.mark.parametrize("kind", ["file", "folder", "broken link"])
def test_what_is_there_stays(tmp_path, kind):
    (tmp_path / "a").write_text("new")
    target = tmp_path / "b"
    if kind == "file":
        target.write_text("old")
    elif kind == "folder":
        target.mkdir()
    else:
        target.symlink_to("nowhere")
    with pytest.raises(FileExistsError):
        move_new(tmp_path / "a", target)
    assert (tmp_path / "a").read_text() == "new"
    assert kind != "file" or target.read_text() == "old"
    assert kind != "broken link" or target.readlink().name == "nowhere"


@pytest.mark.usefixtures("file_system")
def test_a_move_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(FileNotFoundError):
        move_new(tmp_path / "a", tmp_path / "b")
    assert list(tmp_path.iterdir()) == []


def test_other_errors_are_raised(tmp_path, monkeypatch):
    def fail(*_args, **_options):
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "a").write_text("text")
    monkeypatch.setattr(os, "link", fail)
    with pytest.raises(OSError, match="No space"):
        move_new(tmp_path / "a", tmp_path / "b")
    assert [each.name for each in tmp_path.iterdir()] == ["a"]


@pytest.mark.usefixtures("file_system")
def test_the_first_start_creates_a_key_that_stays(tmp_path):
    assert Keys.load(Config(), tmp_path, {}).key == Keys.load(Config(), tmp_path, {}).key
    assert [each.name for each in tmp_path.iterdir()] == ["api-key"]
