import asyncio
import errno
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.front.http.uploads import UploadHandler
from daemon.front.uploads.files import Upload
from support.http import NOW, api, form

CONTENT = b"G28\r\n--frontie\r\nG1 X5\n--frontier\n\r\n--fronti" * 5  # near misses of the boundary inside
LARGE = bytes(range(32, 252)) * 4500  # some 16 blocks


@given(st.data())
async def test_a_form_is_read_the_same_however_it_is_split(data):
    body, kind = form(("print", b"false"), ("path", b"box"), ("file", "a.gcode", CONTENT), ("unknown", b"x" * 50))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=8)))
    pieces = [body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    with tempfile.TemporaryDirectory() as folder:
        async with api(Path(folder), "") as server:
            response = await server.request("POST", "/api/files/local", pieces, headers={"Content-Type": kind})
            assert response.status == 201
            assert server.uploaded() == {"box/a.gcode": CONTENT}


@given(st.data())
async def test_a_truncated_form_is_400_and_leaves_nothing(data):
    body, kind = form(("print", b"true"), ("file", "a.gcode", CONTENT), ("select", b"true"))
    whole = len(body) - len(b"\r\n")  # what follows the last boundary is optional
    cut = body[: data.draw(st.integers(1, whole - 1))]
    with tempfile.TemporaryDirectory() as folder:
        async with api(Path(folder), "") as server:
            response = await server.request("POST", "/api/files/local", cut, headers={"Content-Type": kind})
            assert (response.status, bool(response.error)) == (400, True)
            assert server.uploaded() == {}


async def test_a_form_is_read_byte_by_byte(tmp_path):
    body, kind = form(("file", "a.gcode", CONTENT))
    pieces = [body[at : at + 1] for at in range(len(body))]
    async with api(tmp_path, "") as server:
        assert (await server.request("POST", "/api/files/local", pieces, headers={"Content-Type": kind})).status == 201
        assert server.uploaded() == {"a.gcode": CONTENT}


async def test_the_answer_has_octoprints_form(tmp_path):
    async with api(tmp_path, "") as server:
        response = await server.upload(("path", b"/box/"), ("file", "a.gcode", CONTENT))
        assert response.status == 201
        location = "http://printer.local:5000/api/files/local/box/a.gcode"
        assert response.headers["Location"] == location
        assert response.json == {
            "files": {
                "local": {
                    "name": "a.gcode",
                    "origin": "local",
                    "path": "box/a.gcode",
                    "refs": {
                        "resource": location,
                        "download": "http://printer.local:5000/downloads/files/local/box/a.gcode",
                    },
                }
            },
            "done": True,
            "effectiveSelect": False,
            "effectivePrint": False,
        }


FILE = ("file", "a.gcode", CONTENT)
EXTRA = ("filename", "a.gcode", b"octoprint-cli sends this")


@pytest.mark.parametrize(
    ("parts", "selected", "printing"),
    [
        ((FILE,), False, False),
        (((("select"), b"true"), FILE), True, False),
        ((FILE, ("select", b"yes")), True, False),
        ((("print", b"true"), ("path", b""), FILE), True, True),
        ((FILE, ("print", b"1"), EXTRA), True, True),
        ((EXTRA, ("print", b"false"), ("select", b"false"), FILE), False, False),
    ],
)
async def test_parts_may_come_in_any_order(tmp_path, parts, selected, printing):
    async with api(tmp_path) as server:
        response = await server.upload(*parts)
        assert response.status == 201
        assert (response.json["effectiveSelect"], response.json["effectivePrint"]) == (selected, printing)
        assert (server.service.jobs.selected is not None, server.service.jobs.active) == (selected, printing)
        assert server.uploaded() == {"a.gcode": CONTENT}


async def test_a_file_is_stored_but_not_printed_while_offline_or_busy(tmp_path):
    async with api(tmp_path) as server:
        assert (await server.upload(("file", "long.gcode", b"G4 S100\n"), ("print", b"true"))).json["effectivePrint"]
        busy = await server.upload(FILE, ("print", b"true"))
        assert (busy.status, busy.json["effectiveSelect"], busy.json["effectivePrint"]) == (201, False, False)
        assert server.service.jobs.selected.path == "long.gcode"
        await server.service.connection.disconnect()
        offline = await server.upload(("file", "b.gcode", CONTENT), ("print", b"true"))
        assert (offline.status, offline.json["effectiveSelect"], offline.json["effectivePrint"]) == (201, False, False)


async def test_a_second_upload_replaces_the_first_unless_forbidden(tmp_path):
    async with api(tmp_path) as server:
        await server.upload(("file", "a.gcode", b"G28\n"), ("select", b"true"))
        assert (await server.upload(FILE)).status == 201
        assert server.service.jobs.selected.size == len(CONTENT)
        for parts in ((("noOverwrite", b"true"), FILE), (FILE, ("noOverwrite", b"true"))):
            assert (await server.upload(*parts)).status == 409
        assert (await server.upload(("path", b"box"), FILE, ("noOverwrite", b"true"))).status == 201
        assert server.uploaded() == {"a.gcode": CONTENT, "box/a.gcode": CONTENT}


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("../a.gcode", 400),
        ("box/../../a.gcode", 400),
        ("/etc/a.gcode", 400),
        ("a\0.gcode", 400),
        ("a\x1b[2J.gcode", 400),
        ("x" * 300 + ".gcode", 400),
        (".hidden.gcode", 400),
        ("a.stl", 415),
        ("gcode", 415),
        ("a.gcode.exe", 415),
    ],
)
async def test_a_bad_name_is_refused_and_leaves_nothing(tmp_path, name, status):
    async with api(tmp_path / "state", "") as server:
        for parts in ([("file", name, LARGE)], [("file", name, CONTENT), ("path", b"box")]):
            response = await server.upload(*parts)
            assert (response.status, bool(response.error)) == (status, True)
        assert server.uploaded() == {}
        assert [each.name for each in tmp_path.iterdir()] == ["state"]


FOLDED, OTHER, NEW = ("file", "sub/a.gcode", CONTENT), ("file", "blob", CONTENT), ("filename", b"b.gcode")


@pytest.mark.parametrize(
    ("parts", "path"),
    [  # as an OctoPrint 1.11.8 keeps them
        ((FOLDED,), "sub/a.gcode"),
        ((FOLDED, ("path", b"/")), "sub/a.gcode"),
        ((FOLDED, ("path", b"top")), "top/a.gcode"),
        ((("path", b"top"), FOLDED), "top/a.gcode"),
        ((FILE, NEW), "b.gcode"),
        ((NEW, OTHER, ("path", b"top")), "top/b.gcode"),
    ],
)
async def test_name_and_folder_come_from_the_same_fields_as_in_octoprint(tmp_path, parts, path):
    async with api(tmp_path, "") as server:
        response = await server.upload(*parts)
        assert (response.status, response.json["files"]["local"]["path"]) == (201, path)
        assert server.uploaded() == {path: CONTENT}


@pytest.mark.parametrize("name", [b"../b.gcode", b"b.stl", b".b.gcode"])
async def test_a_bad_name_in_a_field_is_refused_before_and_after_the_file(tmp_path, name):
    async with api(tmp_path, "") as server:
        for parts in ((("filename", name), FILE), (FILE, ("filename", name))):
            assert (await server.upload(*parts)).status in (400, 415)
        assert server.uploaded() == {}


@pytest.mark.parametrize("path", [b"../x", b"box/../..", b"..", b"a\0b", b".incoming", b"\xff\xfe", b"x" * 2000])
async def test_a_bad_path_is_refused_before_and_after_the_file(tmp_path, path):
    async with api(tmp_path, "") as server:
        for parts in ((("path", path), FILE), (FILE, ("path", path))):
            response = await server.upload(*parts)
            assert (response.status, bool(response.error)) == (400, True)
        assert server.uploaded() == {}


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ("form-data; name=\"file\"; filename*=UTF-8''W%C3%BCrfel.gcode", "Würfel.gcode"),
        ('form-data; name="file"; filename="fallback.gcode"; filename*=utf-8\'de\'W%C3%BCrfel.gcode', "Würfel.gcode"),
        ("form-data; name=\"file\"; filename*=ISO-8859-1''W%FCrfel.gcode", "Würfel.gcode"),
        ("form-data; filename=plain.gcode; name=file", "plain.gcode"),
        ('form-data; name="file"; filename="a; filename*=UTF-8\'\'b.gcode"', "a; filename*=UTF-8''b.gcode"),
        ('form-data; name="file"; filename="C:\\temp\\a.gcode"', "a.gcode"),
    ],
)
async def test_names_are_read_in_every_form_that_clients_send(tmp_path, disposition, name):
    body = f"--b\r\nContent-Disposition: {disposition}\r\n\r\nG28\n\r\n--b--\r\n".encode()
    async with api(tmp_path, "") as server:
        response = await server.request(
            "POST", "/api/files/local", body, headers={"Content-Type": "multipart/form-data; boundary=b"}
        )
        assert response.status == 201
        assert server.uploaded() == {name: b"G28\n"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no form at all",
        b"--b\r\nContent-Disposition: form-data; name=\"file\"; filename*=no-such''%41.gcode\r\n\r\nx\r\n--b--\r\n",
        b"--b\r\nContent-Disposition: form-data; name=\"file\"; filename*=utf-8''%ff.gcode\r\n\r\nx\r\n--b--\r\n",
        b"--b\r\nX: " + b"x" * 10_000 + b"\r\n\r\n\r\n--b--\r\n",
        b"--b\r\n" + b"X: y\r\n" * 100 + b"\r\n\r\n--b--\r\n",
        b"--b\r\n\r\nno disposition\r\n--b--\r\n",
        b'--b\r\nContent-Disposition: form-data; name="path"\r\n\r\n' + b"x" * 100_000 + b"\r\n--b--\r\n",
        b'--b\r\nContent-Disposition: form-data; name="path"\r\n\r\n\r\n' * 100 + b"--b--\r\n",
        b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nno name\r\n--b--\r\n',
        b'--b\r\nContent-Disposition: form-data; name="file"; filename=""\r\n\r\n\r\n--b--\r\n',
        b"--b--\r\n",
    ],
)
async def test_an_invalid_or_empty_form_is_400(tmp_path, body):
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    async with api(tmp_path, "") as server:
        response = await server.request("POST", "/api/files/local", body, headers=headers)
        assert (response.status, bool(response.error)) == (400, True)
        assert server.uploaded() == {}


@pytest.mark.parametrize("kind", ["multipart/form-data", "application/json", "text/plain", ""])
async def test_another_content_type_is_400(tmp_path, kind):
    async with api(tmp_path, "") as server:
        response = await server.request(
            "POST", "/api/files/local", b'{"foldername": "x"}', headers={"Content-Type": kind}
        )
        assert (response.status, bool(response.error)) == (400, True)


async def test_two_files_in_one_form_are_refused_and_neither_is_stored(tmp_path):
    async with api(tmp_path, "") as server:
        response = await server.upload(FILE, ("file", "b.gcode", CONTENT))
        assert (response.status, "more than one file" in response.error) == (400, True)
        assert server.uploaded() == {}


async def test_bad_userdata_is_refused_and_the_file_with_it(tmp_path):
    async with api(tmp_path, "") as server:
        assert (await server.upload(FILE, ("userdata", b"{"))).status == 400
        assert server.uploaded() == {}
        assert (await server.upload(FILE, ("userdata", b'{"a": 1}'))).status == 201


async def test_a_folder_can_be_created_twice_by_either_kind_of_form(tmp_path):
    async with api(tmp_path, "") as server:
        for _ in range(2):
            response = await server.upload(("foldername", b"inner"), ("path", b"box"))
            assert response.status == 201
            assert response.headers["Location"].endswith("/api/files/local/box/inner")
            assert response.json["folder"]["path"] == "box/inner"
            assert response.json["folder"]["refs"] == {"resource": response.headers["Location"]}
        encoded = {"Content-Type": "application/x-www-form-urlencoded"}
        response = await server.request("POST", "/api/files/local", b"foldername=other&path=", headers=encoded)
        assert (response.status, response.json["folder"]["path"]) == (201, "other")
        assert (await server.upload(("foldername", b"../x"))).status == 400
        assert (await server.upload(("foldername", b".."))).status == 400


async def test_an_upload_may_say_the_date_of_a_new_file(tmp_path):
    async with api(tmp_path, "") as server:
        for date in (b"nan", b"-1", b"yesterday", b"inf"):
            assert (await server.upload(("file", "d.gcode", b"G28\n"), ("modified", date))).status == 400
        for date, mtime in ((b"1000.5", 1000.5), (b"2000", NOW)):  # a file that replaces another is dated now
            assert (await server.upload(("modified", date), ("file", "d.gcode", b"G28\n"))).status == 201
            assert (server.service.files.root / "d.gcode").stat().st_mtime == mtime


@pytest.mark.parametrize("sent", [0, 10, 200, len(LARGE) // 2])
async def test_a_client_that_vanishes_in_the_middle_leaves_nothing(tmp_path, sent):
    body, kind = form(("file", "a.gcode", LARGE))
    async with api(tmp_path, "") as server:
        await server.request("POST", "/api/files/local", body[:sent], headers={"Content-Type": kind}, hang_up=True)
        await server.settle()
        assert server.uploaded() == {}


async def test_a_full_disk_is_507_and_leaves_nothing(tmp_path, monkeypatch):
    written = 0
    write = os.write

    def fills_up(descriptor, block):
        nonlocal written
        written += len(block)
        if written > len(LARGE) // 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, block)

    body, kind = form(("file", "a.gcode", LARGE))
    pieces = [body[at : at + 65536] for at in range(0, len(body), 65536)]
    async with api(tmp_path, "") as server:
        monkeypatch.setattr("daemon.front.uploads.files.os.write", fills_up)
        response = await server.request("POST", "/api/files/local", pieces, headers={"Content-Type": kind})
        assert response.status == 507
        assert response.error.startswith("a.gcode: the disk is full")
        assert server.uploaded() == {}


async def test_an_upload_over_the_limit_is_413_by_its_length_or_by_its_bytes(tmp_path):
    body, kind = form(("file", "a.gcode", LARGE * 2))
    pieces = [body[at : at + 65536] for at in range(0, len(body), 65536)]
    headers = {"Content-Type": kind}
    async with api(tmp_path, "", http={"max_upload_mib": 1}) as server:
        early = await server.request("POST", "/api/files/local", headers={**headers, "Content-Length": str(2**40)})
        assert (early.status, bool(early.error)) == (413, True)
        late = await server.request("POST", "/api/files/local", pieces, headers={**headers, "Content-Length": "0"})
        assert late.status == 413
        assert server.uploaded() == {}


async def test_an_early_refusal_comes_before_any_byte_is_written(tmp_path, monkeypatch):
    async with api(tmp_path) as server:
        await server.upload(("file", "a.gcode", b"G4 S100\n"), ("print", b"true"))

        async def never(self, chunk):
            raise AssertionError("written")

        monkeypatch.setattr(Upload, "write", never)
        assert (await server.upload(("path", b""), FILE)).status == 409


async def test_uploads_to_the_sd_card_are_refused(tmp_path):
    body, kind = form(FILE)
    async with api(tmp_path) as server:
        for target in ("sdcard", "elsewhere"):
            response = await server.request("POST", f"/api/files/{target}", body, headers={"Content-Type": kind})
            assert (response.status, bool(response.error)) == (404, True)


async def test_of_simultaneous_uploads_that_may_not_overwrite_one_wins(tmp_path):
    async with api(tmp_path, "") as server:
        contents = [b"G28\nG1 X%d\n" % number for number in range(4)]
        parts = [(("noOverwrite", b"true"), ("file", "a.gcode", content)) for content in contents]
        answers = await asyncio.gather(*(server.upload(*each) for each in parts))
        assert sorted(each.status for each in answers) == [201, 409, 409, 409]
        assert server.uploaded() == {"a.gcode": contents[[each.status for each in answers].index(201)]}


@pytest.mark.parametrize("hanging", ["begin", "_write"])
async def test_an_upload_whose_time_is_up_while_the_disk_hangs_leaves_nothing(tmp_path, monkeypatch, hanging):
    handlers = []
    admit, to_thread = UploadHandler.admit, asyncio.to_thread

    async def hangs(work, *args):
        if work.__name__ == hanging and handlers:
            handlers.pop().on_connection_close()  # as Tornado does then, without waiting for `data_received`
            await asyncio.sleep(10)
        return await to_thread(work, *args)

    monkeypatch.setattr(UploadHandler, "admit", lambda handler: handlers.append(handler) or admit(handler))
    body, kind = form(("file", "a.gcode", LARGE))
    async with api(tmp_path, "", http={"quota_mib": 8}) as server:
        monkeypatch.setattr(asyncio, "to_thread", hangs)
        pieces = [body[at : at + 65536] for at in range(0, len(body), 65536)]
        await server.request("POST", "/api/files/local", pieces, headers={"Content-Type": kind}, hang_up=True)
        await server.settle()
        assert handlers == []
        assert server.uploaded() == {}
        assert server.service.front.files.room.claimed_bytes == 0
