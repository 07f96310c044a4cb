"""Compressed files and their content; and over the API, where a separate process decompresses them."""

import asyncio
import contextlib
import errno
import gzip
import hashlib
import io
import zipfile
import zlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from daemon.client import ClientError
from daemon.errors import FileError, NotPrintable, StorageFull
from daemon.front.uploads.unpacker import unpack_here, unpack_in_child
from daemon.packing.as_text import open_unpacked
from daemon.packing.kinds import SNIFF, check_content, packed_kind, plain_name
from daemon.packing.unpacking import unpack
from support import bgcode
from support.analysed import analyse
from support.client import in_memory
from support.http import api
from support.pictures import picture

TEXT = b"; Gr\xc3\xbc\xc3\x9fe\nG28\nM104 S200\nG1 X50 Y50 Z.3 F6000\nG1 X60 E1\nM104 S0\nM84\n" * 30
LIMIT = 10_000_000


def packed(data: bytes, level: int = 9) -> bytes:
    """Compress by gzip without the time: the data is part of tests' ids, which must be the same in each process."""
    return gzip.compress(data, level, mtime=0)


def three_mf(plates: dict[int, bytes], method: int = zipfile.ZIP_DEFLATED, **more: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.writestr("3D/3dmodel.model", "<model/>")
        for number, text in plates.items():
            archive.writestr(zipfile.ZipInfo(f"Metadata/plate_{number}.gcode"), text, method)
        for name, data in more.items():
            archive.writestr(zipfile.ZipInfo(f"Metadata/{name}.png"), data)
    return out.getvalue()


PACKED = {
    "cube.bgcode": bgcode.whole(TEXT, encoding=0),
    "cube.gcode.gz": packed(TEXT),
    "cube.bgcode.gz": packed(bgcode.whole(TEXT, encoding=0)),
    "cube.gcode.3mf": three_mf({1: TEXT}),
    "stored.3mf": three_mf({7: TEXT}, zipfile.ZIP_STORED),
    "cube.gcode": TEXT.decode().encode("utf-16"),
    "be.gcode": TEXT.decode().encode("utf-16-be"),
    "le.gcode": TEXT.decode().encode("utf-16-le"),
    "two members.gcode.gz": packed(TEXT[:500]) + packed(TEXT[500:]) + bytes(512),
}


def unpacked_text(tmp_path, data, plate=None, limit=LIMIT) -> bytes:
    source, target = tmp_path / "packed", tmp_path / "text"
    source.write_bytes(data)
    unpack(source, target, limit, plate)
    return target.read_bytes()


@pytest.mark.parametrize("name", PACKED)
def test_the_kind_of_a_file_is_recognised(tmp_path, name):
    data = PACKED[name]
    assert packed_kind(data[:1024])
    text = unpacked_text(tmp_path, data)
    assert TEXT in text if "bgcode" in name else text == TEXT


def test_one_of_several_plates_is_unpacked(tmp_path):
    other = TEXT.replace(b"X60", b"X70")
    data = three_mf({1: TEXT, 2: other}, plate_2=picture("PNG", 24, 24))
    with pytest.raises(NotPrintable, match=r"plates 1, 2: choose one \(--plate N"):
        unpacked_text(tmp_path, data)
    with pytest.raises(NotPrintable, match="no plate 3, only 1, 2"):
        unpacked_text(tmp_path, data, plate=3)
    assert unpacked_text(tmp_path, data, plate=1) == TEXT
    second = unpacked_text(tmp_path, data, plate=2)
    assert second.endswith(other)
    [thumbnail] = analyse(second).thumbnails
    assert (thumbnail.width, thumbnail.height, thumbnail.data) == (24, 24, picture("PNG", 24, 24))


def test_a_plate_of_a_file_without_plates_is_refused(tmp_path):
    with pytest.raises(NotPrintable, match="only a 3MF has plates"):
        unpacked_text(tmp_path, TEXT, plate=1)


def encrypted() -> bytes:
    data = bytearray(three_mf({1: TEXT}))
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        where = -1
        while (where := data.find(mark, where + 1)) >= 0:
            data[where + at] |= 1
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (three_mf({}), "contains no G-code: it is a project"),
        (three_mf({1: TEXT})[:300], "damaged"),
        (three_mf({1: TEXT}, zipfile.ZIP_STORED).replace(b"X60", b"X61"), "damaged"),
        (encrypted(), "cannot be unpacked: .*encrypted"),
        (three_mf({1: b"\x89PNG\0\0"}), "not text"),
        (three_mf({1: b"<html>"}), "begins like a web page"),
        (three_mf({1: three_mf({1: TEXT})}), "inside a packed file"),
        (packed(TEXT)[:-9], "cut off"),
        (packed(TEXT)[:40], "cut off"),
        (packed(TEXT)[:-8] + bytes(8), "damaged"),
        (packed(TEXT) + b"more", "damaged"),
        (packed(packed(packed(TEXT))), "too many layers"),
        (packed(bytes(5000)), "not text"),
        (TEXT.decode().encode("utf-32"), "UTF-32"),
        (b"\xff\xfe" + TEXT[:11], "UTF-16, and damaged"),
        (b"\xff\xfe\x00\xd8G\0", "UTF-16, and damaged"),
        (PACKED["cube.bgcode"][:-7], r"cut off in block \d+ \(G-code\)"),
        (bgcode.head(), "cut off before its G-code"),
    ],
    ids=lambda value: value if isinstance(value, str) else "a file",  # a 3MF contains the time
)
def test_a_broken_file_is_refused(tmp_path, data, reason):
    with pytest.raises(NotPrintable, match=reason):
        unpacked_text(tmp_path, data)


@pytest.mark.parametrize(
    "pack",  # called by the test: while tests are collected, each worker would make all of them
    [
        lambda: packed(b"G28\n" * 5_000_000, 9),
        lambda: three_mf({1: b"G28\n" * 5_000_000}),
        lambda: bgcode.head() + bgcode.gcode(b"G28\n" * 1_000_000, bgcode.DEFLATE) * 20,
    ],
    ids=["gzip", "3mf", "bgcode"],
)
def test_a_bomb_stops_at_the_limit(tmp_path, pack):
    with pytest.raises(StorageFull, match="limit of 1000000 bytes"):
        unpacked_text(tmp_path, pack(), limit=1_000_000)
    assert (tmp_path / "text").stat().st_size <= 1_000_000


@given(st.sampled_from(sorted(PACKED)), st.integers(0, 10_000), st.integers(0, 255), st.integers(0, 10_000))
@example("cube.gcode.3mf", 0, 0, 10)
@example("cube.gcode.3mf", 4, 64, 10_000)
def test_any_damage_results_in_text_or_a_clear_error(tmp_path_factory, name, at, byte, size):
    data = bytearray(PACKED[name][: max(4, size)])
    data[at % len(data)] = byte
    with contextlib.suppress(FileError):
        unpacked_text(tmp_path_factory.mktemp("damaged"), bytes(data))


def test_disk_trouble_is_reported(tmp_path):
    with pytest.raises(FileError, match="No such file"):
        unpack(tmp_path / "none", tmp_path / "text", LIMIT)
    (tmp_path / "packed").write_bytes(PACKED["cube.bgcode"])
    with pytest.raises(FileError, match="cannot be unpacked"):
        unpack(tmp_path / "packed", tmp_path / "no" / "text", LIMIT)


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("cube.bgcode", "cube.gcode"), ("CUBE.BGC", "CUBE.gcode"), ("a.gcode.gz", "a.gcode"), ("a.g.gz", "a.g"),
        ("a.gz", "a.gcode"), ("a.gcode.3mf", "a.gcode"), ("a.3mf", "a.gcode"), ("a.bgcode.gz", "a.gcode"),
        ("a.gcode", "a.gcode"), ("a.stl", "a.stl"), (".gz", ".gz"), ("parts/b c.bgcode", "parts/b c.gcode"),
    ],
)  # fmt: skip
def test_the_text_has_the_plain_name_of_its_file(name, plain):
    assert plain_name(name) == plain


@pytest.mark.parametrize("data", [b"", b"G28\n", TEXT, b"\xef\xbb\xbfG28\n", b"G\0", bytes(99)])
def test_text_and_unknown_data_are_not_packed(data):
    assert packed_kind(data) is None


def test_a_text_is_used_as_it_is(tmp_path):
    path = tmp_path / "a.gcode"
    path.write_bytes(TEXT)
    with open_unpacked(path) as text_path:
        assert text_path == path
    with pytest.raises(FileError, match=r"cannot read .*none\.gcode"), open_unpacked(tmp_path / "none.gcode"):
        pass


def test_the_unpacked_text_is_removed_afterwards(tmp_path):
    path = tmp_path / "a.bgcode"
    path.write_bytes(PACKED["cube.bgcode"])
    with open_unpacked(path) as text_path:
        assert text_path.name == "a.gcode"
        assert TEXT in text_path.read_bytes()
    assert not text_path.exists()
    path.write_bytes(PACKED["cube.bgcode"][:-1])
    with pytest.raises(NotPrintable, match=r"a.bgcode: binary G-code: the file is cut off"), open_unpacked(path):
        pass


def test_without_room_for_an_unpacked_copy_the_reason_is_named(tmp_path, monkeypatch):
    path = tmp_path / "cube.gcode.gz"
    path.write_bytes(gzip.compress(b"G28\n"))

    def no_room(*_: str) -> None:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr("tempfile.mkdtemp", no_room)
    with pytest.raises(FileError, match=r"No usable temporary directory .* TMPDIR"), open_unpacked(path):
        pass


# -- the API ---------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def serving(folder, *address, **settings):
    async with api(folder, *address, **settings) as client:
        client.service.files.unpack = unpack_here
        yield client


@pytest.mark.parametrize("name", PACKED)
async def test_an_upload_is_stored_as_text(tmp_path, name):
    async with serving(tmp_path) as client:
        answer = await client.upload(("file", name, PACKED[name]))
        assert answer.status == 201
        path = answer.json["files"]["local"]["path"]
        assert path == plain_name(name)
        text = (await client.get(f"/downloads/files/local/{path.replace(' ', '%20')}")).body
        assert TEXT in text
        about = (await client.get(f"/api/files/local/{path.replace(' ', '%20')}")).json
        assert about["size"] == len(text)
        assert about["hash"] == hashlib.sha1(text).hexdigest()
        assert [entry["name"] for entry in (await client.get("/api/files")).json["files"]] == [path]


async def test_a_plate_is_chosen_in_the_form(tmp_path):
    data = three_mf({1: TEXT, 2: TEXT.replace(b"X60", b"X70")})
    async with serving(tmp_path) as client:
        refused = await client.upload(("file", "two.gcode.3mf", data))
        assert refused.status == 415
        assert "the plates 1, 2" in refused.json["error"]
        assert (await client.get("/api/files")).json["files"] == []
        assert (await client.upload(("plate", b"two"), ("file", "two.gcode.3mf", data))).status == 400
        assert (await client.upload(("plate", b"2"), ("file", "two.gcode.3mf", data))).status == 201
        assert b"X70" in (await client.get("/downloads/files/local/two.gcode")).body


@pytest.mark.parametrize(
    ("name", "data", "status", "reason"),
    [
        ("a.bgcode", PACKED["cube.bgcode"][:-7], 415, "a.bgcode: binary G-code: the file is cut off in block"),
        ("a.gcode", b"GCDE\1\0\0\0\1\0" + b"\7" * 99, 415, "block 1 is of an unknown type"),
        ("a.3mf", three_mf({}), 415, "it is a project"),
        ("a.gz", packed(b"\x7fELF" + bytes(999)), 415, "not text"),
        ("a.gz", zlib.compress(TEXT), 415, "not G-code"),
        ("a.stl.gz", packed(TEXT), 201, ""),
        ("a.gcode.zip", three_mf({1: TEXT}), 415, "does not end in"),
    ],
)
async def test_a_broken_upload_leaves_nothing(tmp_path, name, data, status, reason):
    async with serving(tmp_path) as client:
        answer = await client.upload(("file", name, data))
        assert answer.status == status
        assert reason in answer.json.get("error", "")
        if status != 201:
            assert [path.name for path in tmp_path.rglob("*.gcode*")] == []
            assert not list((tmp_path / "uploads" / ".incoming").glob("*"))


async def test_length_and_hash_are_those_of_the_packed_file(tmp_path):
    data = PACKED["cube.gcode.gz"]
    good = (("size", b"%d" % len(data)), ("sha1", hashlib.sha1(data).hexdigest().encode()))
    async with serving(tmp_path) as client:
        assert (await client.upload(*good, ("file", "a.gcode.gz", data))).status == 201
        assert (await client.upload(*good, ("file", "a.gcode.gz", data[:-1] + b"\1"))).status == 400


async def test_the_quota_counts_the_unpacked_text(tmp_path):
    async with serving(tmp_path, http={"quota_mib": 1}) as client:
        answer = await client.upload(("file", "a.gz", packed(TEXT * 2000)))
        assert answer.status == 507
        assert "limit of 1048576 bytes" in answer.json["error"]


async def test_the_client_names_the_plate(tmp_path):
    data = three_mf({1: TEXT, 2: TEXT.replace(b"X60", b"X70")})
    async with serving(tmp_path) as server, in_memory(server) as client:
        with pytest.raises(ClientError, match="the plates 1, 2"):
            await client.files.upload(data, name="two.gcode.3mf")
        done = await client.files.upload(data, name="two.gcode.3mf", plate=2)
        assert done["files"]["local"]["path"] == "two.gcode"
        assert b"X70" in (await server.get("/downloads/files/local/two.gcode")).body


async def test_an_unpacked_file_prints(tmp_path):
    async with serving(tmp_path, "sim") as client:
        answer = await client.upload(("print", b"true"), ("file", "cube.bgcode", PACKED["cube.bgcode"]))
        assert answer.json["effectivePrint"] is True
        assert (await client.get("/api/job")).json["job"]["file"]["name"] == "cube.gcode"


async def test_a_packed_file_put_there_by_hand_is_not_printed(tmp_path):
    async with serving(tmp_path, "sim") as client:
        (client.service.files.root / "by hand.gcode").write_bytes(PACKED["cube.bgcode"])
        path = "/api/files/local/by%20hand.gcode"
        assert (await client.post(path, {"command": "select", "print": True, "force": True})).status == 204
        while (job := (await client.get("/api/job")).json)["state"] not in ("Operational", "Error"):  # noqa: ASYNC110 - as a client
            await asyncio.sleep(0.1)
        assert "binary G-code, not text" in job["error"]


@pytest.mark.real_time
async def test_the_process_unpacks_and_reports_errors(tmp_path):
    async with api(tmp_path) as client:
        answer = await client.upload(("file", "cube.bgcode", PACKED["cube.bgcode"]))
        assert answer.status == 201
        assert TEXT in (await client.get("/downloads/files/local/cube.gcode")).body
        refused = await client.upload(("file", "b.bgcode", PACKED["cube.bgcode"][:-1]))
        assert (refused.status, "cut off" in refused.json["error"]) == (415, True)


@pytest.mark.real_time
async def test_the_process_that_unpacks_does_not_inherit_the_key(tmp_path, monkeypatch):
    monkeypatch.setenv("NOZZLED_API_KEY", "a-key-that-nobody-may-see")
    started = []
    real = asyncio.create_subprocess_exec

    async def noted(*command, **more):
        started.append(more["env"])
        return await real(*command, **more)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", noted)
    (tmp_path / "a.gz").write_bytes(packed(TEXT))
    await unpack_in_child(tmp_path / "a.gz", tmp_path / "text", LIMIT, None)
    assert (tmp_path / "text").read_bytes() == TEXT
    assert [("PATH" in each, "NOZZLED_API_KEY" in each) for each in started] == [(True, False)]


@given(
    st.binary(max_size=40).filter(lambda head: not head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"<", b"{", b"#!")))
)
@example(b"\xff\xd8")  # a picture
@example(b"\x7fELF\2\1\1")  # a program
def test_bytes_that_no_text_has_are_recognised_without_a_zero(head):
    with pytest.raises(NotPrintable, match=r"^a\.gcode is not G-code: it is not text$"):
        check_content("a.gcode", (head.replace(b"\0", b"\2") + b"\1").ljust(SNIFF, b"\n"))


@pytest.mark.parametrize("text", [";\tЖЩЯ\r\n", ";\f\v\n", "G28\x1a", ";\x1b[1m\n"])
def test_text_with_unusual_characters_is_text(text):
    for encoding in "utf-8", "cp1251":
        check_content("a.gcode", text.encode(encoding))
