"""The companion `timelapse` beside the whole service: a picture each layer; films are made between prints."""

import argparse
import asyncio
import errno
import json
import os
from pathlib import Path

import pytest

from daemon.cli import timelapse as cli
from daemon.client import NotFound
from daemon.companions.companion import Refusal
from daemon.companions.timelapse import film_queue, render
from daemon.companions.timelapse.config import TimelapseConfig
from daemon.companions.timelapse.films import Films, NoRoom, Recording, folder_name, size_of
from daemon.companions.timelapse.plan import FilmPlan, LayerPictures, apply_request
from daemon.companions.timelapse.render import FilmLook, RenderFailed, encode_arguments
from daemon.front.http.timelapse import MOVIES
from support.analyses import analysing
from support.client import in_memory
from support.fake_camera import jpeg
from support.http import NOW, api
from support.push import Listener
from support.timelapse import Camera, pictures, recording
from support.waiting import until

LAYERS = 6
FILE = b"M302 P1\nG28\nM83\n" + b"".join(
    b";LAYER_CHANGE\n;Z:%.1f\n;HEIGHT:0.2\nG1 Z%.1f F600\n" % (0.2 * number, 0.2 * number)
    + b"G1 X51 E.05 F1200\nG1 X50 E.05\n" * 40
    for number in range(1, LAYERS + 1)
)

SHORT = FILE[: FILE.index(b";LAYER_CHANGE\n;Z:0.4")]


@pytest.fixture
def camera(monkeypatch):
    return Camera(monkeypatch)


@pytest.fixture
def ffmpeg(monkeypatch):
    """Put films of our own in the place of ffmpeg's; a list of what was run."""
    ran = []

    async def run(words, folder):
        ran.append(sorted(each.name for each in folder.glob("*.jpg")))
        await asyncio.sleep(20)
        await asyncio.to_thread(Path(words[-1]).write_bytes, b"film" * 100)

    async def before(_):
        return []

    monkeypatch.setattr(render, "run", run)
    monkeypatch.setattr(render, "find_limits", before)
    return ran


async def print_it(server, name="part.gcode", content=FILE, wait=True):
    await server.upload(("file", name, content), ("print", b"true"))
    if wait:
        await until(lambda: server.service.jobs.state is not None and server.service.jobs.state.ended)


async def films(server):
    return (await server.get("/api/timelapse?unrendered=true")).json


async def test_each_layer_has_a_picture_in_the_film(tmp_path, camera, ffmpeg):
    events = []
    async with analysing(tmp_path, switched_on=["timelapse"]) as server, recording(server, min_delay_s=0):
        server.service.events.subscribe(lambda notice: events.append((notice.name, notice.payload)))
        assert (await films(server))["enabled"] is True
        await print_it(server)
        await until(lambda: any(name == "MovieDone" for name, _ in events))
        await asyncio.sleep(1)
        listing = await films(server)
        [film] = listing["files"]
        assert listing["unrendered"] == []
        assert film["name"].startswith("part_2023")
        assert film["url"] == f"/downloads/timelapse/{film['name']}"
        sent = await server.get(film["url"], headers={"Range": "bytes=0-3"})
        assert (sent.status, sent.body, sent.headers["Content-Type"]) == (206, b"film", "video/mp4")
        thumbnail = await server.get(film["thumbnail"])
        assert (thumbnail.status, thumbnail.headers["Content-Type"]) == (200, "image/jpeg")
        assert (await server.get("/api/timelapse/x.mp4")).status == 302
        (tmp_path / "companions/timelapse/secret.mp4").write_bytes(b"")
        for name in ("..%2Fsecret.mp4", "%2Fetc%2Fx.mp4", ".hidden.mp4", "none.mp4", "plan.json", "%00.mp4"):
            assert (await server.get(f"/downloads/timelapse/{name}")).status == 404
        deleted = await server.delete(f"/api/timelapse/{film['name']}")
        assert (deleted.status, deleted.json["files"]) == (200, [])
        assert not [*(tmp_path / "companions/timelapse/movies").iterdir()]
        assert (await server.delete(f"/api/timelapse/{film['name']}")).status == 404
    assert ffmpeg == [[f"{number:06d}.jpg" for number in range(1, LAYERS + 1)]]
    names = [name for name, _ in events]
    assert names.count("CaptureStart") == names.count("CaptureDone") == LAYERS == len(camera.requests)
    assert [name for name in names if name.startswith("Movie")] == ["MovieRendering", "MovieDone"]
    [done] = [payload for name, payload in events if name == "MovieDone"]
    assert (done["gcode"], done["movie_basename"]) == ("part.gcode", film["name"])


async def test_a_misbehaving_camera_costs_only_pictures(tmp_path, camera, ffmpeg):
    events = []
    camera.outcomes = ["it answers with 500", 1000, "no JPEG"]
    async with (
        api(tmp_path, switched_on=["timelapse"]) as server,
        recording(server, type="timed", interval_s=1) as companion,
    ):
        server.service.events.subscribe(lambda notice: events.append(notice.name))
        await print_it(server)
        assert server.service.jobs.state.value == "completed"
        recorder = companion._recorder
        assert (recorder.miss_count, recorder.skip_count >= 1) == (3, True)
        await until(lambda: ffmpeg)
        assert len(ffmpeg[0]) == len(camera.requests) - 3
    assert events.count("CaptureFailed") == 3
    assert server.service.jobs.state.value == "completed"


async def test_a_recording_continues_in_the_same_folder_after_a_crash_of_the_companion(tmp_path, camera, ffmpeg):
    async with api(tmp_path, switched_on=["timelapse"]) as server:
        async with recording(server, type="timed", interval_s=2):
            await print_it(server, wait=False)
            await until(lambda: len(camera.requests) == 3)
            await asyncio.sleep(1)
        [(name, before)] = pictures(server).items()
        (tmp_path / "companions/timelapse/frames" / name / "000002.jpg").write_bytes(b"\xff\xd8\xff")  # a power cut
        async with recording(server, type="timed", interval_s=2) as companion:
            assert companion._recorder.recording.frames == len(before) - 1
            await until(lambda: server.service.jobs.state.ended)
            await until(lambda: ffmpeg)
            assert list(pictures(server)) == [name]
    assert ffmpeg[0] == [f"{number:06d}.jpg" for number in range(1, len(ffmpeg[0]) + 1)]
    assert len(ffmpeg[0]) == len(camera.requests) - 1


async def test_a_print_that_ended_without_the_companion_becomes_a_film_if_wanted(tmp_path, camera, ffmpeg):
    async with api(tmp_path, switched_on=["timelapse"]) as server:
        async with recording(server, type="timed", interval_s=1):
            await print_it(server, wait=False)
            await until(lambda: len(camera.requests) >= 2)
        await until(lambda: server.service.jobs.state.ended)
        async with recording(server) as companion:
            await until(lambda: ffmpeg and not companion._recordings)
        [film] = [each.name for each in (tmp_path / "companions/timelapse/movies").glob("*.mp4")]
        assert "-fail" not in film


async def test_a_print_does_not_count_as_ended_while_the_core_is_away(tmp_path, camera, ffmpeg):
    async def nothing(path):
        if path == "/api/job":
            return {"state": "Offline", "job": {"file": {}}, "progress": {}}
        return await server.client.get(path)

    async with api(tmp_path, switched_on=["timelapse"]) as server:
        async with recording(server, type="timed", interval_s=1) as companion:
            await print_it(server, wait=False)
            await until(lambda: len(camera.requests) >= 2)
            real, server.client = companion.client.get, companion.client
            companion.client.get = nothing
            server.client = type("", (), {"get": staticmethod(real)})
            await companion._update()
            assert companion._recorder.recording is not None
            [name] = pictures(server)
        async with recording(server, type="timed", interval_s=1) as companion:
            companion.client.get, real = nothing, companion.client.get
            server.client = type("", (), {"get": staticmethod(real)})
            await companion._update()
            assert not companion._recordings[0].outcome
            companion.client.get = real
            await companion._update()
            await until(lambda: ffmpeg)
            assert list(pictures(server)) == [name]


async def test_films_are_rendered_only_between_prints(tmp_path, camera, ffmpeg):
    async with api(tmp_path, switched_on=["timelapse"]) as server, recording(server, type="timed") as companion:
        await print_it(server, content=SHORT)
        await until(lambda: ffmpeg)
        [name] = pictures(server)
        assert companion._film_queue.recording_being_rendered.name == name
        await print_it(server, "next.gcode", SHORT, wait=False)
        await asyncio.sleep(5)
        assert companion._film_queue.recording_being_rendered is None
        assert not [*(tmp_path / "companions/timelapse/movies").iterdir()]
        for path in (name, "none"):
            answer = await server.post(f"/api/timelapse/unrendered/{path}", {"command": "render"})
            assert (answer.status, answer.error) == (
                409,
                "Printer is currently printing, cannot render timelapse: try again after the print",
            )
        assert (await server.delete("/api/timelapse/unrendered/none")).status == 404
        [one, two] = (await films(server))["unrendered"]
        assert sorted([one["recording"], two["recording"]]) == [False, True]
        recorded = one if one["recording"] else two
        assert (await server.delete(f"/api/timelapse/unrendered/{recorded['name']}")).status == 409
        await until(lambda: server.service.jobs.state.ended)
        await until(lambda: not companion._recordings, 600)
        assert len((await films(server))["files"]) == 2
    assert len(ffmpeg) == 3


async def test_a_recording_can_be_deleted_right_before_its_film_is_made(tmp_path, camera, ffmpeg):
    async with api(tmp_path, switched_on=["timelapse"]) as server, recording(server, type="timed") as companion:
        await print_it(server, content=SHORT)
        await until(lambda: companion._film_queue._work is not None)
        [name] = pictures(server)
        assert (await server.delete(f"/api/timelapse/unrendered/{name}")).status == 204
        await asyncio.sleep(60)
        assert ffmpeg == []
        await print_it(server, "next.gcode", SHORT, wait=False)
        await until(lambda: ffmpeg)
        await until(lambda: not companion._recordings, 600)
        assert [each["name"].partition("_")[0] for each in (await films(server))["files"]] == ["next"]


async def test_a_full_disk_at_the_end_of_a_print_costs_nothing_but_the_note(tmp_path, camera, ffmpeg, monkeypatch):
    note = Films.note

    def full(self, recorded):
        if recorded.outcome:
            raise OSError(errno.ENOSPC, "No space left on device")
        note(self, recorded)

    def read_only(*_):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Films, "note", full)
    monkeypatch.setattr(Films, "expire", read_only)
    async with api(tmp_path, switched_on=["timelapse"]) as server, recording(server, type="timed") as companion:
        await print_it(server, content=SHORT)
        await until(lambda: ffmpeg and not companion._recordings, 600)
        [film] = (await films(server))["files"]
        assert film["name"].startswith("part_")


async def test_without_ffmpeg_the_pictures_stay_and_rendering_is_retried(tmp_path, camera, monkeypatch):
    async def fails(*_):
        raise RenderFailed("ffmpeg cannot be run: No such file or directory")

    monkeypatch.setattr(render, "run", fails)
    events = []
    async with api(tmp_path, switched_on=["timelapse"]) as server, recording(server, type="timed"):
        server.service.events.subscribe(lambda notice: events.append((notice.name, notice.payload)))
        await print_it(server, content=SHORT)
        await asyncio.sleep(60)
        [failed] = [payload for name, payload in events if name == "MovieFailed"]
        assert "No such file" in failed["error"]
        [left] = (await films(server))["unrendered"]
        assert "No such file" in left["failed"]
        assert (await server.post(f"/api/timelapse/unrendered/{left['name']}", {"command": "render"})).status == 204
        await asyncio.sleep(60)
        assert [name for name, _ in events].count("MovieFailed") == 2
        assert (await server.delete(f"/api/timelapse/unrendered/{left['name']}")).status == 204
        assert pictures(server) == {}


async def test_the_plan_is_changed_as_in_octoprint(tmp_path, camera):
    async with api(tmp_path, switched_on=["timelapse"]) as server:
        async with recording(server):
            shown = (await films(server))["config"]
            assert shown == {
                "type": "zchange", "postRoll": 0, "fps": 25, "renderAfterPrint": "always", "retractionZHop": 0.0,
                "minDelay": 0.5,
            }  # fmt: skip
            form = b"type=timed&interval=7&fps=30&postRoll=2&renderAfterPrint=success&save=true"
            kind = {"Content-Type": "application/x-www-form-urlencoded"}
            answer = await server.request("POST", "/api/timelapse", form, headers=kind)
            assert answer.json["config"] == {
                "type": "timed", "postRoll": 2, "fps": 30, "renderAfterPrint": "success", "interval": 7,
            }  # fmt: skip
            for name, value in [
                ("fps", 0), ("fps", "x"), ("postRoll", -1), ("interval", 0), ("retractionZHop", -1), ("minDelay", 0),
                ("renderAfterPrint", "perhaps"),
            ]:  # fmt: skip
                refused = await server.post("/api/timelapse", {"type": "zchange", name: value})
                assert (refused.status, refused.error) == (400, f"{name} is invalid")
            assert (await server.post("/api/timelapse", {"type": "off"})).json["config"] == {"type": "off"}
            settings = (await server.get("/api/settings")).json
            assert settings["webcam"]["timelapseEnabled"] is True
            assert settings["folder"]["timelapse"].endswith("companions/timelapse/movies")
        async with recording(server) as companion:
            assert companion._plan.interval == 7  # it was to be saved
    async with api(tmp_path / "other", switched_on=["timelapse"]) as server:  # it is away
        assert (await films(server))["files"] == []
        assert (await server.post("/api/timelapse", {"type": "off"})).status == 503


async def test_a_running_print_is_recorded_once_the_plan_wants_it(tmp_path, camera):
    async with api(tmp_path, switched_on=["timelapse"]) as server, recording(server, type="off") as companion:
        await print_it(server, wait=False)
        await asyncio.sleep(30)
        requests = [each for each in companion.client._exchange.sent if each.url.endswith("/api/job")]
        assert len(requests) < 6
        assert not pictures(server)
        assert companion._film_queue.is_idle is False
        await server.post("/api/timelapse", {"type": "timed", "interval": 1})
        await asyncio.sleep(5)
        assert len(next(iter(pictures(server).values()))) > 2
        await server.request("POST", "/api/job", b'{"command": "cancel"}', headers={"Content-Type": "application/json"})
        await until(lambda: server.service.jobs.state.ended)
        await asyncio.sleep(3)
        assert companion._film_queue.is_idle is True
        assert companion._recordings[0].outcome == "cancelled"


async def test_a_new_client_gets_the_current_plan(tmp_path, camera):
    async with api(tmp_path, switched_on=["timelapse"]) as server, recording(server):
        listener = Listener(server)
        await listener.login()
        assert listener.of("timelapse") == [{"type": "zchange", "options": {"retractionZHop": 0.0}}]
        await server.post("/api/timelapse", {"type": "timed", "interval": 3})
        await asyncio.sleep(1)
        assert listener.of("timelapse")[-1] == {"type": "timed", "options": {"interval": 3}}


async def test_the_command_line_lists_deletes_renders_and_shows_where_to_play(tmp_path, camera, ffmpeg):
    async def does(action, name=""):
        chosen = cli._ACTIONS[action]
        return chosen.show(await chosen.run(client, argparse.Namespace(name=name)))

    async with api(tmp_path, switched_on=["timelapse"]) as server, recording(server, type="timed", render="never"):
        client = in_memory(server)
        assert await does("list") == "no films"
        await print_it(server, content=SHORT)
        await asyncio.sleep(5)
        [name] = pictures(server)
        assert f"{name}  " in await does("list")
        assert "pictures, no film" in await does("list")
        assert not ffmpeg
        await does("render", name)
        await until(lambda: not pictures(server))
        await asyncio.sleep(1)
        assert f"{name}.mp4" in await does("list")
        address = await does("play-address", f"{name}.mp4")
        assert (await server.get(address.removeprefix(client.url), key=None)).body.startswith(b"film")
        await does("delete", f"{name}.mp4")
        assert await does("list") == "no films"
        with pytest.raises(NotFound, match="`nozzled timelapse list` shows the films"):
            await does("play-address", f"{name}.mp4")
    async with api(tmp_path / "without") as server:
        client = in_memory(server)
        assert "add [timelapse] to the configuration file" in await does("list")
        with pytest.raises(NotFound, match=r"add \[timelapse\] to the configuration file"):
            await does("play-address", "part.mp4")
    async with api(tmp_path / "away", switched_on=["timelapse"]) as server:  # the front has the films
        client = in_memory(server)
        (tmp_path / "away" / MOVIES).mkdir(parents=True, exist_ok=True)
        (tmp_path / "away" / MOVIES / "part.mp4").write_bytes(b"film")
        assert "/downloads/timelapse/part.mp4?" in await does("play-address", "part.mp4")


# -- parts -------------------------------------------------------------------------------------------------


def test_a_layer_is_due_when_it_is_finished_and_once():
    layers = LayerPictures()
    reports = [None, 0, 0, 1, 1, 2, 2, 3, 2, 3, 7, 7]
    assert [layers.is_due(each) for each in reports] == [
        False, False, False, False, False, True, False, True, False, True, True, False,
    ]  # fmt: skip
    again = LayerPictures()
    assert not again.is_due(5)  # it came in the middle of one
    assert again.is_due(6)


def test_omitted_fields_of_a_plan_have_octoprints_defaults():
    plan = apply_request(FilmPlan(type="timed", interval=3, fps=60, render="never"), {"type": "zchange"})
    assert (plan.fps, plan.interval, plan.render, plan.post_roll) == (25, 3, "always", 0)
    assert apply_request(plan, {"fps": 3}) is plan
    for value in ("nan", "inf", None, [], 10**9, True):
        with pytest.raises(Refusal):
            apply_request(plan, {"type": "timed", "minDelay": value})
    with pytest.raises(Refusal, match="type is invalid"):
        apply_request(plan, {"type": ["off"]})
    assert plan.wants_film(success=False)
    assert not FilmPlan(render="success").wants_film(success=False)


def folder_of(tmp_path, **config):
    films = Films(tmp_path, TimelapseConfig(**{"free_mib": 0, **config}))
    assert films.open() == []
    one = Recording("a", 1, "a.gcode", began=NOW)
    films.begin(one)
    return films, one


async def test_a_print_that_starts_while_a_film_gets_its_name_does_not_undo_it(tmp_path, ffmpeg):
    films, one = folder_of(tmp_path)
    films.add(one, jpeg())
    finishing, may_finish, events, done = asyncio.Event(), asyncio.Event(), [], []

    def on_disk(function, *args):  # as in an executor: work that has begun continues even if its waiter is cancelled
        async def work():
            if function == films.finish:
                finishing.set()
                await may_finish.wait()
            return function(*args)

        return asyncio.shield(asyncio.create_task(work()))

    queue = film_queue.FilmQueue(films, TimelapseConfig(), on_disk, lambda name, _: events.append(name), lambda: None)
    queue.on_done = done.append
    running = asyncio.create_task(queue.run())
    queue.add(one)
    queue.is_idle = True
    await finishing.wait()
    queue.is_idle = False  # a print starts
    await asyncio.sleep(1)
    may_finish.set()
    await asyncio.sleep(1)
    queue.is_idle = True
    await asyncio.sleep(60)
    running.cancel()
    assert (events, done, queue.waiting_recordings) == (["MovieRendering", "MovieDone"], [one], [])
    assert len(ffmpeg) == 1


@pytest.mark.parametrize(
    "damage", [{"began": None}, {"job": "x"}, {"fps": []}, {"outcome": {}}, {"file": None}, {"wanted": 2}, [], None]
)
def test_a_damaged_recording_hides_no_other(tmp_path, damage):
    films, one = folder_of(tmp_path)
    films.add(one, jpeg())
    two = Recording("b", 2, "b.gcode", began=NOW + 1)
    films.begin(two)
    path = tmp_path / "frames" / "b" / "print.json"
    description = json.loads(path.read_bytes())
    assert [each.name for each in Films(tmp_path, TimelapseConfig()).open()] == ["a", "b"]
    path.write_text(json.dumps({**description, **damage} if isinstance(damage, dict) else damage))
    assert [each.name for each in Films(tmp_path, TimelapseConfig()).open()] == ["a"]
    path.write_bytes(b"[" * 100_000)
    assert [each.name for each in Films(tmp_path, TimelapseConfig()).open()] == ["a"]


@pytest.mark.parametrize(
    "saved", ['{"min_delay": "x"}', '{"type": []}', '{"fps": null}', "[]", "1", "{", "[" * 100_000]
)
async def test_a_damaged_plan_leaves_the_settings_of_the_configuration(tmp_path, camera, saved):
    async with api(tmp_path, switched_on=["timelapse"]) as server:
        folder = tmp_path / "companions/timelapse"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "plan.json").write_text(saved)
        async with recording(server, type="timed", interval_s=7):
            config = (await server.get("/api/timelapse")).json["config"]
            assert (config["type"], config["interval"]) == ("timed", 7)


def test_the_space_for_pictures_is_limited(tmp_path):
    films, one = folder_of(tmp_path, frames_mib=1)
    big = jpeg(size=(64, 48)) + b"\0" * 600_000
    films.add(one, big)
    with pytest.raises(NoRoom, match="frames_mib"):
        films.add(one, big)
    films, one = folder_of(tmp_path / "all", all_frames_mib=1)
    films.add(one, big)
    two = Recording("b", 2, "b.gcode")
    films.begin(two)
    with pytest.raises(NoRoom, match="all_frames_mib"):
        films.add(two, big)
    films.drop(one)
    films.add(two, big)
    films, one = folder_of(tmp_path / "free", free_mib=10**7)
    with pytest.raises(NoRoom, match="free_mib"):
        films.add(one, jpeg())


def test_recordings_are_repaired_after_a_crash(tmp_path):
    films, one = folder_of(tmp_path)
    for number in range(4):
        films.add(one, jpeg(number))
    films.path_of(one, 2).write_bytes(b"")
    (tmp_path / "frames/a/000009.part").write_bytes(b"half")
    (tmp_path / "frames/broken").mkdir()
    (tmp_path / "movies/.film.mp4.part").write_bytes(b"half")
    note = tmp_path / "frames/a/print.json"
    note.write_text(json.dumps({**json.loads(note.read_text()), "later": 1}))
    [recording] = Films(tmp_path, TimelapseConfig()).open()
    assert (recording.name, recording.job, recording.frames) == ("a", 1, 3)
    left = sorted(each.name for each in (tmp_path / "frames/a").glob("*.jpg"))
    assert left == ["000001.jpg", "000002.jpg", "000003.jpg"]
    assert not [*(tmp_path / "frames/a").glob("*.part")]
    assert not [*(tmp_path / "movies").iterdir()]


def test_old_recordings_are_removed(tmp_path):
    films, one = folder_of(tmp_path, films=2, keep_days=7)
    for number in range(4):
        film = tmp_path / f"movies/{number}.mp4"
        film.write_bytes(b"x" * 10)
        os.utime(film, (NOW + number, NOW + number))
    one.outcome = "completed"
    now = (tmp_path / "frames/a").stat().st_mtime
    assert films.expire([one], now) == []
    assert sorted(each["name"] for each in films.list_films()) == ["2.mp4", "3.mp4"]
    assert films.expire([one], now + 8 * 86400) == [one]
    assert not (tmp_path / "frames/a").exists()


@pytest.mark.parametrize("name", ["../x.mp4", "a/b.mp4", ".x.mp4", "none.mp4", "x.txt", "..", ""])
def test_only_films_are_deleted(tmp_path, name):
    films, _ = folder_of(tmp_path)
    (tmp_path / "x.mp4").write_bytes(b"")
    (tmp_path / "movies/x.txt").write_bytes(b"")
    assert not films.delete(name)
    assert (tmp_path / "x.mp4").exists()


def test_names_of_recordings_are_safe_file_names():
    for file in ("a/../b%d.gcode", "ä ö.gcode", "..gcode", "x" * 300 + ".gcode", "a\nb;c.gcode", "層" * 80 + ".gcode"):
        name = folder_name(file, NOW)
        assert name.isprintable()
        assert "/" not in name
        assert not name.startswith(".")
        assert len(f".{name}-2-fail.mp4.part".encode()) <= 255
        assert len(f"{name}-2-fail.mp4.thumb.jpg".encode()) <= 255


def test_sizes_are_written_as_octoprint_does():
    assert [size_of(each) for each in (0, 1023, 2048, 5 * 1024**3)] == ["0.0bytes", "1023.0bytes", "2.0KB", "5.0GB"]


@pytest.mark.parametrize(("memory_kib", "suffix"), [(444_816, ".mkv"), (8_000_000, ".mp4")])
async def test_small_computers_do_not_encode(tmp_path, monkeypatch, ffmpeg, memory_kib, suffix):
    (tmp_path / "meminfo").write_text(f"MemTotal: {memory_kib} kB\n")
    monkeypatch.setattr(film_queue, "MEMINFO", tmp_path / "meminfo")
    films, one = folder_of(tmp_path / "films")
    films.add(one, jpeg())
    write_film, words = render.run, []

    async def run(arguments, folder):
        words.extend(arguments)
        await write_film(arguments, folder)

    async def on_disk(function, *args):
        return function(*args)

    monkeypatch.setattr(render, "run", run)
    queue = film_queue.FilmQueue(films, TimelapseConfig(), on_disk, lambda *_: None, lambda: None)
    running = asyncio.create_task(queue.run())
    queue.add(one)
    queue.is_idle = True
    await asyncio.sleep(60)
    running.cancel()
    assert [path.suffix for path in films.movies_folder.iterdir() if path.suffix != ".jpg"] == [suffix]
    assert ("copy" in words) == (suffix == ".mkv")


def test_a_film_is_flipped_only_if_the_camera_is():
    assert "hflip" not in str(encode_arguments(25, 0, FilmLook(), Path("x.mp4")))
    assert "hflip" in str(encode_arguments(25, 0, FilmLook(flip_h=True), Path("x.mp4")))
