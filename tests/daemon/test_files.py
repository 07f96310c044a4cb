"""The folder of uploads, on a real disk: complete uploads, refusals, and leftovers."""

import asyncio
import errno
import hashlib
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.errors import (
    BadFileName,
    FileError,
    FileExists,
    FileInUse,
    IsAFolder,
    NoSuchFile,
    NotAFolder,
    NotPrintable,
    StorageFull,
    UploadBroken,
)
from daemon.front.cache.cache import Cache
from daemon.front.uploads import files as module
from daemon.front.uploads.filenames import check_path
from daemon.front.uploads.files import FileStore
from support.waiting import TIMEOUT, until

pytestmark = pytest.mark.real_time  # threads and a disk are what is tested


async def opened(root: Path) -> FileStore:
    store = FileStore(root, lambda: 1_700_000_000.25)
    await store.open()
    return store


async def put(store: FileStore, path: str, content: bytes = b"G28\n", *, overwrite: bool = True) -> module.TreeEntry:
    async with store.upload(path, overwrite=overwrite) as upload:
        await upload.write(content)
        return await upload.commit()


async def break_off(store: FileStore, path: str) -> None:
    async with store.upload(path) as upload:
        await upload.write(b"x" * 100_000)
        raise UploadBroken("the client hung up")


def on_disk(root: Path) -> dict[str, bytes]:
    """All files below, hidden ones too."""
    return {str(each.relative_to(root)): each.read_bytes() for each in root.rglob("*") if each.is_file()}


def descriptors_open() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


def left_over(root: Path) -> list[Path]:
    return [*(root / ".incoming").iterdir()]


def write_as_another_program(path: Path, content: bytes) -> None:
    path.write_bytes(content)


async def test_an_upload_appears_complete_with_hash_and_date(tmp_path):
    store = await opened(tmp_path)
    content = bytes(range(256)) * 1000
    async with store.upload("parts/Würfel 20.gcode") as upload:
        for at in range(0, len(content), 1000):
            await upload.write(content[at : at + 1000])
        assert await store.list(recursive=True) == []  # nothing to be seen before it is complete
        entry = await upload.commit()
    assert on_disk(tmp_path) == {"parts/Würfel 20.gcode": content}
    assert entry.sha1 == hashlib.sha1(content).hexdigest()
    assert (entry.name, entry.path, entry.type) == ("Würfel 20.gcode", "parts/Würfel 20.gcode", "machinecode")
    assert (entry.size, entry.date) == (256_000, 1_700_000_000)
    assert entry.mtime_ns == (tmp_path / entry.path).stat().st_mtime_ns


async def test_an_empty_file_is_a_file(tmp_path):
    assert (await put(await opened(tmp_path), "empty.gcode", b"")).sha1 == hashlib.sha1(b"").hexdigest()


async def test_small_chunks_are_written_together_and_big_ones_at_once(tmp_path, monkeypatch):
    store = await opened(tmp_path)
    blocks: list[int] = []
    write = module.Upload._write
    monkeypatch.setattr(module.Upload, "_write", lambda self, block: (blocks.append(len(block)), write(self, block)))
    async with store.upload("a.gcode") as upload:
        for _ in range(200):
            await upload.write(b"x" * 1000)
        await upload.write(b"y" * 1_000_000)
        await upload.commit()
    assert blocks == [66_000, 66_000, 66_000, 1_002_000, 0]


async def test_an_uncommitted_upload_leaves_nothing(tmp_path):
    store = await opened(tmp_path)
    await put(store, "a.gcode", b"old")
    async with store.upload("a.gcode") as upload:
        await upload.write(b"x" * 100_000)
    with pytest.raises(UploadBroken):
        await break_off(store, "new/b.gcode")
    assert on_disk(tmp_path) == {"a.gcode": b"old"}
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("stage", ["begin", "_write", "finish"])
async def test_a_cancelled_upload_leaves_nothing_or_the_complete_file(tmp_path, monkeypatch, stage):
    """Cancelled while its thread is at work, which cannot be stopped: it has to be waited for."""
    store = await opened(tmp_path)
    entered, leave = threading.Event(), threading.Event()
    real = getattr(module.Upload, stage)

    def slow(self, *args):
        entered.set()
        assert leave.wait(TIMEOUT)
        return real(self, *args)

    monkeypatch.setattr(module.Upload, stage, slow)
    descriptors = descriptors_open()
    task = asyncio.create_task(put(store, "a.gcode", b"x" * 100_000))
    assert await asyncio.to_thread(entered.wait, TIMEOUT)
    task.cancel()
    await asyncio.sleep(0.05)  # discarding has begun, or waits for the lock
    leave.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: not left_over(tmp_path) and descriptors_open() == descriptors, "what the upload has opened")
    assert on_disk(tmp_path) in ({}, {"a.gcode": b"x" * 100_000})


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("call", ["open", "write", "fsync"])
async def test_a_full_disk_is_reported_and_leaves_nothing(tmp_path, monkeypatch, call, number):
    store = await opened(tmp_path)

    def full(*_):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(os, call, full)
        with pytest.raises(StorageFull, match=r"a\.gcode: the disk is full"):
            await put(store, "a.gcode", b"x" * 100_000)
    assert on_disk(tmp_path) == {}
    await put(store, "a.gcode")  # and it goes on when there is room again


async def test_a_disk_that_has_become_read_only_is_named_as_the_reason(tmp_path, monkeypatch):
    store = await opened(tmp_path)

    def read_only(*_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", read_only)
        with pytest.raises(FileError, match=r"a\.gcode: Read-only file system"):
            await put(store, "a.gcode")
    assert on_disk(tmp_path) == {}


async def test_the_folder_of_unfinished_files_is_made_again_if_a_user_has_deleted_it(tmp_path):
    store = await opened(tmp_path)
    (tmp_path / ".incoming").rmdir()
    await put(store, "a.gcode")
    (tmp_path / ".incoming").rmdir()
    await store.copy("a.gcode", "b.gcode")
    (tmp_path / ".incoming").rmdir()
    await store.delete("a.gcode")
    assert [*on_disk(tmp_path)] == ["b.gcode"]


async def test_short_writes_of_the_system_are_continued(tmp_path, monkeypatch):
    store = await opened(tmp_path)
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:1000]))
    content = os.urandom(100_000)
    await put(store, "a.gcode", content)
    assert on_disk(tmp_path) == {"a.gcode": content}


async def test_a_big_upload_is_synced_in_between(tmp_path, monkeypatch):
    store = await opened(tmp_path)
    monkeypatch.setattr(module, "_SYNC_EVERY", 200_000)
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    async with store.upload("a.gcode") as upload:
        for _ in range(10):
            await upload.write(b"x" * 100_000)
        await upload.commit()
    assert len(synced) == 5


async def test_an_existing_file_is_replaced_only_when_overwriting(tmp_path):
    store = await opened(tmp_path)
    await put(store, "a.gcode", b"old")
    with pytest.raises(FileExists, match=r"a\.gcode exists"):
        await put(store, "a.gcode", b"new", overwrite=False)
    assert on_disk(tmp_path) == {"a.gcode": b"old"}
    await put(store, "a.gcode", b"new")
    assert on_disk(tmp_path) == {"a.gcode": b"new"}


async def test_of_two_uploads_without_overwriting_one_wins(tmp_path):
    store = await opened(tmp_path)
    async with store.upload("a.gcode", overwrite=False) as one, store.upload("a.gcode", overwrite=False) as two:
        await one.write(b"one")
        await two.write(b"two")
        await two.commit()
        with pytest.raises(FileExists):
            await one.commit()
    assert on_disk(tmp_path) == {"a.gcode": b"two"}


async def test_without_hard_links_files_are_uploaded_and_moved(tmp_path, monkeypatch):
    """FAT, exFAT and some shares have none."""

    def refuse(*_args, **_options):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    store = await opened(tmp_path)
    await put(store, "a.gcode", b"old", overwrite=False)
    with pytest.raises(FileExists):
        await put(store, "a.gcode", b"new", overwrite=False)
    await store.move("a.gcode", "b.gcode")
    assert on_disk(tmp_path) == {"b.gcode": b"old"}


@pytest.mark.parametrize(
    ("path", "error", "error_text"),
    [
        ("../a.gcode", BadFileName, "must not contain"),
        ("box/../../a.gcode", BadFileName, "must not contain"),
        ("..", BadFileName, "must not contain"),
        ("/etc/a.gcode", BadFileName, "begins with /"),
        ("a\0.gcode", BadFileName, "control characters"),
        ("a\n.gcode", BadFileName, "control characters"),
        ("a\x7f.gcode", BadFileName, "control characters"),
        ("a\ud800.gcode", BadFileName, "control characters"),
        ("box\\a.gcode", BadFileName, "backslash"),
        ("box//a.gcode", BadFileName, "empty"),
        ("box/ /a.gcode", BadFileName, "empty"),
        ("//", BadFileName, "begins with /"),
        ("", BadFileName, "needs a name"),
        (".a.gcode", BadFileName, "dot"),
        (".incoming/a.gcode", BadFileName, "dot"),
        ("./a.gcode", BadFileName, "dot"),
        ("ü" * 125 + ".gcode", BadFileName, "255 bytes: this one has 256"),
        ("x/" * 31 + "y" * 255 + "/" + "a.gcode", BadFileName, "at most 32 parts"),
        ("/".join(["x" * 204] * 5) + ".gcode", BadFileName, "1024 bytes: this one has 1030"),
        ("a.BGCODE", NotPrintable, "names a packed file: uploads are stored unpacked"),
        ("a.stl", NotPrintable, "not a G-code file"),
        ("gcode", NotPrintable, "not a G-code file"),
        ("folder.gcode", IsAFolder, "is a folder"),
        ("file.gcode/a.gcode", NotAFolder, "not a folder"),
        ("file.gcode/box/a.gcode", NotAFolder, "not a folder"),
        ("out/a.gcode", BadFileName, "symbolic link"),
        ("link.gcode", BadFileName, "symbolic link"),
        ("loop/a.gcode", FileError, "loop"),
    ],
)
async def test_an_invalid_name_is_refused_before_any_byte(tmp_path, path, error, error_text):
    root = tmp_path / "uploads"
    store = await opened(root)
    (root / "folder.gcode").mkdir()
    (root / "file.gcode").touch()
    (root / "out").symlink_to(tmp_path)
    (root / "link.gcode").symlink_to(tmp_path / "secret.gcode")
    (root / "loop").symlink_to("loop")
    before = on_disk(tmp_path)
    with pytest.raises(error, match=error_text):
        async with store.upload(path):
            pytest.fail("it was let in")
    assert on_disk(tmp_path) == before


@pytest.mark.parametrize("path", ["a.gcode", "A.GCODE", "a.gco", "a.g", "日本.gcode", "a b; rm -rf.gcode", "a/b/c.g"])
async def test_names_are_stored_unchanged(tmp_path, path):
    store = await opened(tmp_path)
    await put(store, path)
    assert (await store.info(path)).path == path
    assert (tmp_path / path).is_file()


PARTS = st.sampled_from(["", ".", "..", "...", " ", "a", ".a", "a..", "ü", "a\\b", "a\0", "a\n"]) | st.text(max_size=5)


@given(st.lists(PARTS, max_size=4).map("/".join))
def test_any_valid_name_stays_in_the_folder(path):
    try:
        parts = check_path(path)
    except BadFileName:
        return
    inside = Path(os.path.normpath("/srv/uploads/" + "/".join(parts)))
    assert inside == Path("/srv/uploads", *parts)
    assert not any(part in ("", ".", "..") for part in parts)
    assert path.removesuffix("/") == "/".join(parts)


async def test_unfinished_files_of_an_earlier_run_are_removed(tmp_path):
    await opened(tmp_path)
    (tmp_path / ".incoming" / "tmp1").write_bytes(b"half")
    (tmp_path / ".incoming" / "folder").mkdir()
    await opened(tmp_path)
    assert left_over(tmp_path) == []


async def test_the_list_shows_folders_and_g_code_by_name(tmp_path):
    root = tmp_path / "uploads"
    store = await opened(root)
    await put(store, "b.gcode", b"12345")
    await put(store, "a/c.gcode", b"123")
    (root / "a" / "deep").mkdir()
    (root / "part.stl").touch()
    (root / ".hidden.gcode").touch()
    (root / "by hand.gcode").write_bytes(b"1")
    os.mkfifo(root / "fifo.gcode")
    write_as_another_program(root / os.fsdecode(b"latin\xe9.gcode"), b"")
    (root / "up").symlink_to(root)
    (tmp_path / "secret.gcode").touch()
    (root / "out.gcode").symlink_to(tmp_path / "secret.gcode")
    (root / "in.gcode").symlink_to("b.gcode")

    flat = await store.list()
    assert [(each.path, each.type, each.size) for each in flat] == [
        ("a", "folder", 3),
        ("b.gcode", "machinecode", 5),
        ("by hand.gcode", "machinecode", 1),
        ("in.gcode", "machinecode", 5),
    ]
    [folder, *_] = await store.list(recursive=True)
    assert [(each.path, each.type) for each in folder.children] == [("a/c.gcode", "machinecode"), ("a/deep", "folder")]
    assert folder.size == 3
    assert [each.path for each in await store.list("a/")] == ["a/c.gcode", "a/deep"]


async def test_a_missing_file_or_folder_is_an_error(tmp_path):
    store = await opened(tmp_path)
    await put(store, "a.gcode")
    (tmp_path / "part.stl").touch()
    os.mkfifo(tmp_path / "fifo.gcode")
    for path in ("none.gcode", "none", "part.stl", "fifo.gcode", "none/a.gcode"):
        with pytest.raises(NoSuchFile):
            await store.info(path)
    with pytest.raises(NoSuchFile):
        await store.list("none")
    with pytest.raises(NotAFolder):
        await store.list("a.gcode")
    for change in (store.delete("none"), store.move("none.gcode", "b.gcode"), store.copy("none.gcode", "b.gcode")):
        with pytest.raises(NoSuchFile):
            await change


async def test_files_and_folders_are_deleted(tmp_path):
    store = await opened(tmp_path / "uploads")
    for path in ("a.gcode", "box/b.gcode", "box/deep/c.gcode"):
        await put(store, path)
    (tmp_path / "uploads" / "link.gcode").symlink_to("a.gcode")
    await store.delete("link.gcode")
    assert "a.gcode" in on_disk(store.root)
    await store.delete("a.gcode")
    await store.delete("box")
    assert on_disk(store.root) == {}
    assert [each.path for each in await store.list()] == []
    with pytest.raises(BadFileName):
        await store.delete("")


async def test_moving_and_copying_keep_date_and_content(tmp_path):
    store = await opened(tmp_path)
    uploaded = await put(store, "a.gcode", b"aaa")
    moved = await store.move("a.gcode", "new/b.gcode")
    assert (moved.path, moved.mtime_ns) == ("new/b.gcode", uploaded.mtime_ns)
    copied = await store.copy("new/b.gcode", "c.gcode")
    assert (copied.path, copied.mtime_ns) == ("c.gcode", uploaded.mtime_ns)
    assert (await store.copy("c.gcode", "new")).path == "new/c.gcode"  # into a folder that exists
    assert (await store.copy("new", "again")).type == "folder"
    assert (await store.move("again", "new")).path == "new/again"
    names = {"c.gcode", "new/b.gcode", "new/c.gcode", "new/again/b.gcode", "new/again/c.gcode"}
    assert on_disk(tmp_path) == dict.fromkeys(names, b"aaa")


async def test_moving_and_copying_replace_nothing(tmp_path):
    store = await opened(tmp_path)
    for path in ("a.gcode", "b.gcode", "box/a.gcode"):
        await put(store, path, path.encode())
    before = on_disk(tmp_path)
    for work in (store.move, store.copy):
        for destination, error in [
            ("b.gcode", FileExists),
            ("box", FileExists),
            ("b.gcode/c.gcode", NotAFolder),
            ("a.gcode", BadFileName),
            ("../c.gcode", BadFileName),
            ("c.stl", NotPrintable),
        ]:
            with pytest.raises(error):
                await work("a.gcode", destination)
        with pytest.raises(BadFileName, match="into itself"):
            await work("box", "box/deep")
    assert on_disk(tmp_path) == before


async def test_a_copy_on_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    store = await opened(tmp_path)
    await put(store, "box/a.gcode")

    def full(*_):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(module, "_sync", full)
    for source, target in (("box/a.gcode", "b.gcode"), ("box", "box2")):
        with pytest.raises(StorageFull):
            await store.copy(source, target)
    assert list(on_disk(tmp_path)) == ["box/a.gcode"]


async def test_a_file_being_printed_is_protected(tmp_path):
    store = await opened(tmp_path)
    await put(store, "box/a.gcode", b"old")
    store.is_busy = {"box", "box/a.gcode"}.__contains__
    for change in (
        store.delete("box"),
        store.delete("box/a.gcode"),
        store.move("box/", "b"),
        put(store, "box/a.gcode"),
    ):
        with pytest.raises(FileInUse, match="is being printed"):
            await change
    assert on_disk(tmp_path) == {"box/a.gcode": b"old"}
    await store.copy("box/a.gcode", "b.gcode")
    await put(store, "box/c.gcode")


async def test_a_print_that_starts_during_the_upload_keeps_its_file(tmp_path):
    store = await opened(tmp_path)
    await put(store, "a.gcode", b"old")
    async with store.upload("a.gcode") as upload:
        await upload.write(b"new")
        store.is_busy = "a.gcode".__eq__
        with pytest.raises(FileInUse):
            await upload.commit()
    assert on_disk(tmp_path) == {"a.gcode": b"old"}


async def test_creating_an_existing_folder_is_allowed(tmp_path):
    store = await opened(tmp_path)
    assert (await store.make_folder("a/b")).path == "a/b"
    assert (await store.make_folder("a/b")).type == "folder"
    await put(store, "c.gcode")
    with pytest.raises(FileExists):
        await store.make_folder("c.gcode")
    with pytest.raises(NotAFolder):
        await store.make_folder("c.gcode/d")
    with pytest.raises(BadFileName):
        await store.make_folder("")


async def test_free_space_is_that_of_the_disk(tmp_path):
    free, total = await (await opened(tmp_path)).free_space()
    assert 0 < free < total
    assert total == os.statvfs(tmp_path).f_frsize * os.statvfs(tmp_path).f_blocks


async def test_hashes_follow_files_and_are_dropped_for_changed_ones(tmp_path):
    book = Cache(lambda error: pytest.fail(str(error)))
    await book.open(tmp_path / "state")
    files = FileStore(tmp_path / "uploads", lambda: 1_700_000_000.0, book)
    await files.open()
    sha1 = (await put(files, "box/a.gcode")).sha1
    assert sha1 is not None
    assert (await files.info("box/a.gcode")).sha1 == sha1
    assert (await files.copy("box", "copy")).children[0].sha1 == sha1
    assert (await files.move("box", "moved")).children[0].sha1 == sha1
    assert sorted(path for path, *_ in await book.sha1s()) == ["copy/a.gcode", "moved/a.gcode"]
    write_as_another_program(tmp_path / "uploads/copy/a.gcode", b"G29\n")  # of the same size
    assert (await files.info("copy/a.gcode")).sha1 is None
    await files.delete("copy")
    assert [path for path, *_ in await book.sha1s()] == ["moved/a.gcode"]
    await book.close()
