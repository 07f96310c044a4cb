"""Toolpaths over the API, and their caching."""

import asyncio

from support.analysed import sliced
from support.analyses import InlineWorker, analysing, until_analysed, upload
from support.http import api
from support.toolpaths import read

CUBE = sliced("cube20")
ADDRESS = "/api/files/local/a.gcode/toolpath"


def kept(folder):
    """The files in the folder of toolpaths."""
    root = folder / "toolpaths"
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


async def test_a_toolpath_is_made_with_the_analysis_and_sent_in_parts(tmp_path):
    async with analysing(tmp_path) as client:
        await upload(client, CUBE)
        address = (await until_analysed(client))["toolpath"]
        assert address.startswith("api/files/local/a.gcode/toolpath?v=")
        whole = await client.get(f"/{address}")
        assert (whole.status, whole.headers["Content-Type"]) == (200, "application/octet-stream")
        assert whole.headers["Cache-Control"] == "private, max-age=31536000, immutable"
        assert "X-Api-Key" in whole.headers["Vary"]
        toolpath = read(whole.body)
        assert (len(toolpath.layers), toolpath.size) == (99, len(CUBE))
        assert address.endswith(toolpath.id)
        assert whole.headers["ETag"] == f'"{toolpath.id}"'

        part = await client.get(ADDRESS, headers={"Range": "bytes=64-163"})
        assert (part.status, part.body) == (206, whole.body[64:164])
        assert part.headers["Content-Range"] == f"bytes 64-163/{len(whole.body)}"
        assert "no-cache" in part.headers["Cache-Control"]  # without its id another one may come under this address
        same = await client.get(ADDRESS, headers={"If-None-Match": f'"{toolpath.id}"'})
        assert (same.status, same.body) == (304, b"")
        packed = await client.get(ADDRESS, headers={"Accept-Encoding": "gzip"})
        assert "Content-Encoding" not in packed.headers


async def test_a_missing_toolpath_has_a_reason(tmp_path):
    async with analysing(tmp_path) as client:
        await upload(client, b"G28\nM104 S200\n", name="nothing.gcode")
        await until_analysed(client, "nothing.gcode")
        answer = await client.get("/api/files/local/nothing.gcode/toolpath")
        assert (answer.status, "it has no layers" in answer.error) == (404, True)
        assert "toolpath" not in (await client.get("/api/files/local/nothing.gcode")).json
        assert (await client.get("/api/files/local/none.gcode/toolpath")).status == 404

        client.service.analyses._run = lambda _: asyncio.sleep(3600)
        await upload(client, CUBE)
        answer = await client.get(ADDRESS)
        assert (answer.status, "still being computed" in answer.error) == (409, True)
    async with api(tmp_path / "other") as client:
        await upload(client, CUBE)
        answer = await client.get(ADDRESS)
        assert (answer.status, "not analysed" in answer.error) == (404, True)


async def test_a_folder_may_be_called_toolpath(tmp_path):
    async with analysing(tmp_path) as client:
        await upload(client, CUBE, name="b.gcode", path="parts/toolpath")
        listed = await client.get("/api/files/local/parts/toolpath")
        assert [each["name"] for each in listed.json["children"]] == ["b.gcode"]
        await until_analysed(client, "parts/toolpath/b.gcode")
        assert (await client.get("/api/files/local/parts/toolpath/b.gcode/toolpath")).status == 200


async def test_a_folder_has_no_toolpath_even_if_it_is_called_like_a_file(tmp_path):
    async with api(tmp_path, "", analysis={"enabled": True}) as server:
        (server.service.files.root / "a.gcode").mkdir()
        answer = await server.get("/api/files/local/a.gcode/toolpath")
        assert (answer.status, answer.error) == (404, "a.gcode is a folder")


async def test_a_toolpath_lives_as_long_as_its_file(tmp_path):
    async with analysing(tmp_path) as client:
        for name in ("a.gcode", "b.gcode"):
            await upload(client, CUBE, name=name, path="parts")
            await until_analysed(client, f"parts/{name}")
        assert kept(tmp_path) == ["parts/a.gcode", "parts/b.gcode"]
        size = sum((tmp_path / "toolpaths/parts" / name).stat().st_size for name in ("a.gcode", "b.gcode"))
        assert await client.service.files.used_space() == 2 * len(CUBE) + size
        await client.post("/api/files/local/parts/a.gcode", {"command": "move", "destination": "c.gcode"})
        await until_analysed(client, "c.gcode")
        assert kept(tmp_path) == ["c.gcode", "parts/b.gcode"]
        await client.delete("/api/files/local/parts")
        assert kept(tmp_path) == ["c.gcode"]
        await client.delete("/api/files/local/c.gcode")
        assert kept(tmp_path) == []


async def test_a_lost_or_wrong_toolpath_is_made_again(tmp_path):
    async with analysing(tmp_path) as client:
        await upload(client, CUBE)
        await until_analysed(client)
        (tmp_path / "toolpaths/a.gcode").write_bytes(b"NZTP" + bytes(200))
        assert (await client.get(ADDRESS)).status == 409
        await client.settle(1)
        assert (await client.get(ADDRESS)).status == 200
        (tmp_path / "toolpaths/a.gcode").unlink()
        assert (await client.get(ADDRESS)).status == 409
        await client.settle(1)
        assert (await client.get(ADDRESS)).status == 200


async def test_a_toolpath_of_another_format_is_made_again_and_orphans_are_removed(tmp_path, monkeypatch):
    async with analysing(tmp_path) as client:
        await upload(client, CUBE)
        await until_analysed(client)
    (tmp_path / "toolpaths/gone").mkdir()
    (tmp_path / "toolpaths/gone/b.gcode").write_bytes(b"NZTP")
    (tmp_path / "toolpaths/of somebody").write_bytes(b"x")
    worker = InlineWorker()
    async with analysing(tmp_path, worker=worker) as client:
        assert kept(tmp_path) == ["a.gcode", "of somebody"]
        assert not (tmp_path / "toolpaths/gone").exists()
        assert (await client.get(ADDRESS)).status == 200
        assert worker.paths == []
    monkeypatch.setattr("daemon.front.analysis.service.FORMAT", 2)
    async with analysing(tmp_path, worker=worker) as client:
        assert (await client.get(ADDRESS)).status == 409
        await client.settle(1)
        assert (await client.get(ADDRESS)).status == 200
        assert len(worker.paths) == 1


async def test_anything_in_place_of_the_folder_is_set_aside(tmp_path):
    (tmp_path / "toolpaths").write_bytes(b"x")
    async with analysing(tmp_path) as client:
        await upload(client, CUBE)
        assert "toolpath" in await until_analysed(client)
        assert (tmp_path / "toolpaths.damaged").read_bytes() == b"x"


async def test_without_a_folder_a_file_is_analysed_and_has_no_toolpath(tmp_path):
    async with analysing(tmp_path) as client:
        (tmp_path / "toolpaths").rmdir()
        await upload(client, CUBE)
        file = await until_analysed(client)
        assert file["gcodeAnalysis"]["layers"] == 99
        assert "toolpath" not in file
