import asyncio

import pytest

from daemon.config import PauseConfig, load
from daemon.config.named_values import example, fill_in, unknown_names
from daemon.errors import ConfigError
from support.job_host import MOVES, SCRIPTS, S, job_host


def test_values_are_inserted_and_lines_with_an_unknown_one_left_out():
    known = {"z": "5.2", "bed_target": "60"}
    assert fill_in(["M140 S{bed_target}", "G1 Z{z} ; {z}", "G1 X{x}", "M117 hello"], known) == [
        "M140 S60", "G1 Z5.2 ; 5.2", "M117 hello",
    ]  # fmt: skip


def test_an_invalid_name_is_reported():
    assert unknown_names("M140 S{bed} X{x} {}") == ["bed", ""]
    assert example("M140 S{bed_target}") == "M140 S0"


@pytest.mark.parametrize(
    ("key", "line", "error"), [("after_pause", "M140 S{bed}", "unknown value {bed}; allowed: x, y"),
                              ("connected", "M140 S{bed_target}", "allowed: none here"),
                              ("after_pause", "M28 {lines}", "cannot send M28 0")],
)  # fmt: skip
def test_a_script_with_an_invalid_name_is_refused_when_it_is_read(tmp_path, key, line, error):
    file = tmp_path / "nozzled.toml"
    file.write_text(f'[scripts]\n{key} = ["{line}"]\n')
    with pytest.raises(ConfigError, match="scripts") as refused:
        load(file, {})
    assert error in str(refused.value)


async def test_a_script_is_sent_with_the_current_values(tmp_path):
    scripts = type(SCRIPTS)(
        before_start=("M117 start {tool} {lines} {x}", "M117 tool {tool}"),
        after_pause=("M117 bed {bed_target} hotend {hotend_target} z {z}",),
        before_resume=("M117 back to {x}",),
    )
    pause = PauseConfig(park="lift")
    async with job_host(tmp_path, scripts=scripts, pause=pause) as host:
        host.start(["M140 S45", "M104 S50", "G28", *MOVES])
        await host.until(S.PRINTING)
        while host.jobs.progress.lines < 10:  # noqa: ASYNC110 - as clients poll
            await asyncio.sleep(0.1)
        host.jobs.pause()
        await host.until(S.PAUSED)
        host.jobs.resume()
        await host.until(S.COMPLETED)
        texts = [each for each in host.accepted if each.startswith("M117")]
    assert texts[0] == "M117 tool 0"
    assert texts[1] == "M117 bed 45 hotend 50 z 0"
    assert texts[2] in ("M117 back to 0", "M117 back to 20")
    assert len(texts) == 3
