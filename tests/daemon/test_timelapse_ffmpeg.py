"""Films by the real ffmpeg, and the companion as a process beside the daemon, with a camera on a socket."""

import asyncio
import json
import shutil
import signal
import subprocess

import pytest

from daemon.companions.timelapse.render import (
    FilmLook,
    RenderFailed,
    copy_arguments,
    encode_arguments,
    find_limits,
    run,
)
from support.fake_camera import jpeg
from support.processes import cannot_run
from support.waiting import until

pytestmark = pytest.mark.real_time


@pytest.fixture(autouse=True)
def _ffmpeg():
    if shutil.which("ffmpeg") is None:
        cannot_run("there is no ffmpeg: apt-get install ffmpeg")


def probed(path):
    words = ["ffprobe", "-v", "error", "-count_packets", "-show_streams", "-of", "json", path]
    return json.loads(subprocess.run(words, capture_output=True, check=True).stdout)["streams"][0]


def frames(folder, count, size=(640, 480)):
    for number in range(1, count + 1):
        (folder / f"{number:06d}.jpg").write_bytes(jpeg(number, size))


async def test_a_film_has_the_pictures_rotated_and_scaled_down(tmp_path):
    frames(tmp_path, 10, (1920, 1080))
    out = tmp_path / "a film.mp4.part"
    before = await find_limits(768)
    assert "nice" in before
    await run([*before, "ffmpeg", *encode_arguments(5, 1, FilmLook(360, rotate=True, flip_h=True), out)], tmp_path)
    stream = probed(out)
    assert (stream["codec_name"], stream["height"], stream["width"], stream["pix_fmt"]) == ("h264", 360, 202, "yuv420p")
    assert int(stream["nb_read_packets"]) == 15  # with a second of the last one
    whole = tmp_path / "whole.mp4.part"
    await run([*before, "ffmpeg", *encode_arguments(25, 0, FilmLook(0), whole)], tmp_path)
    assert probed(whole)["height"] == 1080


async def test_pictures_of_odd_and_changing_sizes_make_a_film(tmp_path):
    frames(tmp_path, 3, (333, 251))
    (tmp_path / "000002.jpg").write_bytes(jpeg(2, (641, 479)))
    out = tmp_path / "x.mp4.part"
    await run([*await find_limits(768), "ffmpeg", *encode_arguments(25, 0, FilmLook(720), out)], tmp_path)
    assert int(probed(out)["nb_read_packets"]) == 3


async def test_a_copied_film_has_the_original_pictures(tmp_path):
    frames(tmp_path, 5)
    out = tmp_path / "x.mkv.part"
    await run(["ffmpeg", *copy_arguments(25, out)], tmp_path)
    stream = probed(out)
    assert (stream["codec_name"], stream["height"], int(stream["nb_read_packets"])) == ("mjpeg", 480, 5)


async def test_a_failure_of_ffmpeg_is_reported_and_its_memory_bounded(tmp_path):
    with pytest.raises(RenderFailed) as caught:
        await run(["ffmpeg", *encode_arguments(25, 0, FilmLook(), tmp_path / "x.part")], tmp_path)
    assert caught.value.code
    assert "000000" in caught.value.words or "%06d" in caught.value.words
    frames(tmp_path, 3, (1920, 1080))
    with pytest.raises(RenderFailed):
        await run(
            [*await find_limits(64), "ffmpeg", *encode_arguments(25, 0, FilmLook(), tmp_path / "x.part")], tmp_path
        )


async def test_a_cancelled_rendering_ends_ffmpeg(tmp_path, monkeypatch):
    frames(tmp_path, 40, (1920, 1080))
    begin, begun = asyncio.create_subprocess_exec, []

    async def noted(*command, **options):
        begun.append(await begin(*command, **options))
        return begun[0]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", noted)
    task = asyncio.create_task(run(["ffmpeg", *encode_arguments(1, 60, FilmLook(0), tmp_path / "x.part")], tmp_path))
    await until(lambda: begun, "ffmpeg")
    await asyncio.sleep(0.3)  # it is at work
    assert begun[0].returncode is None
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert begun[0].returncode == -signal.SIGKILL
