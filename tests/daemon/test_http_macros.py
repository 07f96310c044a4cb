"""Buttons that send commands: their configuration, and when they may be pressed."""

import pytest

from daemon.config import Config, Macro, load, merge
from daemon.config.writing import render
from daemon.errors import ConfigError
from support.http import api
from support.job_host import MOVES

LOAD = Macro("Load filament", ("M83", "M117 loading"))
LIGHT = Macro("Light", ("M355 S1",), while_printing=True)


def test_macros_are_read_from_the_configuration_and_written_back(tmp_path):
    file = tmp_path / "c.toml"
    file.write_text(
        '[[macros.buttons]]\nname = "Load filament"\ncommands = ["M83", "M117 loading"]\n'
        '[[macros.buttons]]\nname = "Light"\ncommands = ["M355 S1"]\nwhile_printing = true\n'
    )
    config = load(file, {})
    assert config.macros.buttons == (LOAD, LIGHT)
    file.write_text(render(config))
    assert load(file, {}) == config


@pytest.mark.parametrize(
    "buttons",
    [
        "G28",
        ["G28"],
        [{"name": "x"}],
        [{"name": "", "commands": ["G28"]}],
        [{"name": "x", "commands": []}],
        [{"name": "x", "commands": "G28"}],
        [{"name": "x", "commands": ["G28\nM104 S900"]}],
        [{"name": "x", "commands": ["M110 N0"]}],
        [{"name": "x", "commands": ["G28"], "while_printing": 1}],
        [{"name": "x", "commands": ["G28"], "colour": "red"}],
        [{"name": "x", "commands": ["G28"]}, {"name": "X", "commands": ["G29"]}],
        [{"name": f"{n}", "commands": ["G28"]} for n in range(51)],
    ],
)
def test_an_invalid_macro_is_refused(buttons):
    with pytest.raises(ConfigError, match=r"macros\.buttons"):
        merge(Config(), {"macros": {"buttons": buttons}}, "test")


async def test_a_macro_is_sent_during_a_print_only_if_it_allows_that(tmp_path):
    hot = Macro("Too hot", ("M104 S50", "M104 S900"))
    async with api(tmp_path, macros={"buttons": (LOAD, LIGHT, hot)}) as server:
        listed = (await server.get("/api/macros")).json["macros"]
        assert listed[0] == {"name": "Load filament", "commands": ["M83", "M117 loading"], "whilePrinting": False}
        run = {"command": "run", "name": "Load filament"}
        assert (await server.post("/api/macros", run)).status == 204
        assert (await server.post("/api/macros", {"command": "run", "name": "none"})).status == 404
        refused = await server.post("/api/macros", {"command": "run", "name": "Too hot"})
        assert (refused.status, "900" in refused.error) == (400, True)
        await server.upload(("file", "a.gcode", "\n".join(MOVES * 50).encode()), ("print", b"true"))
        await server.settle(1)
        assert server.service.jobs.active
        assert (await server.post("/api/macros", run)).status == 409
        assert (await server.post("/api/macros", {"command": "run", "name": "Light"})).status == 204
        await server.post("/api/connection", {"command": "disconnect"})
        assert (await server.post("/api/macros", run)).status == 409
