"""The configuration file: accepted values, the messages of refusals, and writing it."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon import config as module
from daemon.config import (
    Config,
    LogConfig,
    Texts,
    key_file,
    load,
    load_sections,
    logbook_file,
    merge,
    named_values,
    option,
    state_dir,
    switched_on,
)
from daemon.config.writing import render, render_section
from daemon.errors import ConfigError
from gcode.errors import NozzledError
from gcode.outgoing import check_command

TEXT = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=20)
LINE = TEXT.filter(str.strip)


def values_of(kind: object, rule: module.Option) -> st.SearchStrategy[Any]:
    """Every value that a key of this type and rule takes."""
    if rule.choices:
        return st.sampled_from(rule.choices)
    if kind is int:
        return st.integers(int(rule.low), int(rule.high))
    if kind is float:
        return st.floats(rule.low, rule.high)
    line = LINE.filter(is_command) if rule.gcode else LINE
    if kind == module.Macros:
        return MACROS
    if rule.table_type is not None:
        return st.lists(section_of(rule.table_type), max_size=2, unique_by=lambda each: each.name.casefold()).map(tuple)
    return {bool: st.booleans(), str: TEXT, Texts: st.lists(line, max_size=3).map(tuple)}[kind]


def is_command(line: str) -> bool:
    try:
        return bool(check_command(line)) and not named_values.names(line)
    except NozzledError:
        return False


COMMANDS = st.lists(LINE.filter(is_command), min_size=1, max_size=3).map(tuple)
MACROS = st.lists(
    st.builds(module.Macro, LINE.map(str.strip), COMMANDS, st.booleans()),
    max_size=3,
    unique_by=lambda each: each.name.casefold(),
).map(tuple)


def section_of(cls: type) -> st.SearchStrategy[Any]:
    kinds = get_type_hints(cls)
    keys = [each for each in fields(cls) if each.name != "preset"]  # its values have tests of their own
    return st.builds(cls, **{each.name: values_of(kinds[each.name], each.metadata["option"]) for each in keys})


CONFIGS = st.builds(
    Config,
    **{name: st.deferred(lambda cls=cls: section_of(cls)) for name, cls in get_type_hints(Config).items()},
)


def written(folder: Path, text: str) -> Path:
    path = folder / "nozzled.toml"
    path.write_text(text, "utf-8")
    return path


def refusal(folder: Path, text: str) -> str:
    path = written(folder, text)
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
@given(CONFIGS)
def test_a_rendered_configuration_is_read_back_unchanged(tmp_path, config):
    assert load(written(tmp_path, render(config)), {}) == config


def test_every_key_is_written_with_its_comment_and_default():
    lines = render(merge(Config(), {"http": {"port": 80}}, "test")).splitlines()
    at = lines.index("port = 80")
    assert "TCP port" in lines[at - 1]
    assert lines[at - 1].endswith("From 0 to 65535. Default: 5000")
    for section in fields(Config):
        assert f"[{section.name}]" in lines
        for key in fields(get_type_hints(Config)[section.name]):
            [line] = [
                at
                for at, each in enumerate(lines)
                if each.startswith(f"{key.name} = ") and section_at(lines, at) == section.name
            ]
            assert lines[line - 1].startswith("# ")


def section_at(lines: list[str], at: int) -> str:
    return next(each.strip("[]") for each in reversed(lines[:at]) if each.startswith("["))


def test_after_cancel_and_failure_everything_is_off_by_default():
    for script in (Config().scripts.after_cancel, Config().scripts.after_failure):
        assert script == ("M104 S0", "M140 S0", "M107", "M84")


def test_an_integer_is_accepted_as_a_number(tmp_path):
    retry = load(written(tmp_path, "[printer]\nretry_s = 7\n"), {}).printer.retry_s
    assert retry == 7.0
    assert type(retry) is float


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[http]\nport = 99999", "http.port = 99999: must be a whole number from 0 to 65535"),
        ("[http]\nport = '80'", 'http.port = "80": must be a whole number from 0 to 65535'),
        ("[http]\nport = true", "http.port = true: must be a whole number from 0 to 65535"),
        ("[http]\nport = 80.0", "http.port = 80.0: must be a whole number from 0 to 65535"),
        ("[printer]\nretry_s = nan", "printer.retry_s = nan: must be a number from 0.1 to 3600"),
        ("[printer]\nretry_s = inf", "printer.retry_s = inf: must be a number from 0.1 to 3600"),
        ("[printer]\nretry_s = true", "printer.retry_s = true: must be a number from 0.1 to 3600"),
        ("[profile]\nheated_bed = 1", "profile.heated_bed = 1: must be true or false"),
        ("[http]\nhost = 1", "http.host = 1: must be text in quotes, on one line"),
        ('[http]\nhost = "a\\u0000b"', r"http.host = 'a\x00b': must be text in quotes, on one line"),
        ("[log]\nlevel = 'loud'", 'log.level = "loud": must be one of "debug", "info", "warning", "error"'),
        (
            '[scripts]\nconnected = ["G28\\nG29"]',
            "scripts.connected = ['G28\\nG29']: must be a list of texts, none of them empty",
        ),
        ("http = 1", "http = 1: must be a section, [http]"),
        (
            "[htpp]\nport = 1",
            "[htpp]: unknown section; did you mean http? known sections: http, pri",
        ),
        (
            "[http]\nprot = 1",
            "http.prot = 1: unknown key; did you mean port? known keys: host, port, max_upload_mib",
        ),
        ("[http]\nzzz = 1", "http.zzz = 1: unknown key; known keys: host, port, max_upload_mib"),
        ("[[http]]\nport = 1", "http = [{port = 1}]: must be a section, [http]"),
        ('[scripts]\nbefore = ["G28"]', 'scripts.before = ["G28"]: unknown key; did you mean before_start?'),
        ("[[macros.buttons]]\nname = 'x'", 'macros.buttons = {name = "x"}: must have name and commands, may have'),
        ("[http\n", "not valid TOML: "),
        ("[http]\nport = " + "9" * 5000, "not valid TOML: "),
    ],
)
def test_invalid_settings_are_refused_with_the_allowed_ones(tmp_path, text, message):
    assert refusal(tmp_path, text).startswith(message)


@pytest.mark.parametrize("line", ["", "  ", "G28\rG29", "G28\n", "G28\x85", "G28\u2028G29", 28])
def test_a_script_line_is_one_line_and_not_empty(line):
    with pytest.raises(ConfigError, match=r"scripts\.after_pause"):
        merge(Config(), {"scripts": {"after_pause": ["G28", line]}}, "test")


@pytest.mark.parametrize("script", [each.name for each in fields(Config().scripts)])
@pytest.mark.parametrize("line", ["M999", "m110 n0", "M28 x.gco", "N5 M110*2", "; nothing but a comment"])
def test_a_script_line_is_a_command_that_the_link_takes(tmp_path, script, line):
    error = refusal(tmp_path, f'[scripts]\n{script} = ["G28", "{line}"]')
    assert error.startswith(f'scripts.{script} = "{line}": ')
    assert "cannot send" in error or "no command" in error


@pytest.mark.parametrize("lines", ["G28", None, {"G28": 1}])
def test_a_script_is_a_list(lines):
    with pytest.raises(ConfigError, match="must be a list of texts"):
        merge(Config(), {"scripts": {"after_pause": lines}}, "test")


def test_a_long_value_is_cut_in_the_message(tmp_path):
    assert len(refusal(tmp_path, f"[http]\nport = '{'x' * 10_000}'")) < 200
    assert len(refusal(tmp_path, f"[http]\n{'x' * 10_000} = 1")) < 300


def test_an_unreadable_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.toml: No such file"):
        load(tmp_path / "none.toml", {})
    with pytest.raises(ConfigError, match="Is a directory"):
        load(tmp_path, {})
    (tmp_path / "latin.toml").write_bytes(b"# caf\xe9")
    with pytest.raises(ConfigError, match=r"not UTF-8 text \(byte 5\)"):
        load(tmp_path / "latin.toml", {})


def test_the_file_comes_from_the_option_then_the_environment_then_the_system(tmp_path, monkeypatch):
    def named(name: str) -> Path:
        path = tmp_path / name
        path.write_text(f'[appearance]\nname = "{name}"\n')
        return path

    monkeypatch.setattr("daemon.config.reading.SYSTEM_FILE", tmp_path / "absent")
    assert load(None, {}) == Config()
    assert load(None, {"NOZZLED_CONFIG": ""}) == Config()
    monkeypatch.setattr("daemon.config.reading.SYSTEM_FILE", named("system"))
    assert load(None, {}).appearance.name == "system"
    environ = {"NOZZLED_CONFIG": str(named("environment"))}
    assert load(None, environ).appearance.name == "environment"
    assert load(named("given"), environ).appearance.name == "given"


def test_merging_keeps_settings_that_are_not_named():
    base = merge(Config(), {"http": {"port": 80}, "log": {"level": "debug"}}, "test")
    merged = merge(base, {"http": {"host": "0.0.0.0"}}, "command line")
    assert (merged.http.host, merged.http.port) == ("0.0.0.0", 80)
    assert merged.log == LogConfig(level="debug")


def test_the_state_directory_comes_from_the_configuration_systemd_or_the_user():
    named = merge(Config(), {"paths": {"state_dir": "/srv/printer"}}, "test")
    home = {"HOME": "/home/ann"}
    assert state_dir(named, {"STATE_DIRECTORY": "/x"}) == Path("/srv/printer")
    assert state_dir(Config(), {"STATE_DIRECTORY": "/var/lib/a:/var/lib/b"}) == Path("/var/lib/a")
    by_path = "/var/lib/nozzled/pci-0000:01:00.0-usb-0:1.2:1.0"
    assert state_dir(Config(), {"STATE_DIRECTORY": by_path}) == Path(by_path)
    assert state_dir(Config(), {"STATE_DIRECTORY": f"{by_path}:/var/lib/b"}) == Path(by_path)
    assert logbook_file({"RUNTIME_DIRECTORY": f"{by_path}:/var/lib/b"}) == Path(by_path) / "logbook"
    assert state_dir(Config(), home | {"XDG_STATE_HOME": "/xdg"}) == Path("/xdg/nozzled")
    assert state_dir(Config(), home | {"XDG_STATE_HOME": "relative"}) == Path("/home/ann/.local/state/nozzled")
    assert state_dir(Config(), home) == Path("/home/ann/.local/state/nozzled")


def test_without_a_home_directory_a_path_below_it_is_refused(monkeypatch):
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)  # a container may run under a number that no user has
    with pytest.raises(ConfigError, match="--state-dir"):
        state_dir(Config(), {})
    for path, who in (("~/prints", "~"), ("~nobody-of-this-name/prints", "~nobody-of-this-name")):
        named = merge(Config(), {"paths": {"state_dir": path}}, "test")
        with pytest.raises(ConfigError, match=f"{path}: .* for {who}:"):
            state_dir(named, {})


def test_the_key_is_in_the_state_directory_unless_configured():
    assert key_file(Config(), Path("/state")) == Path("/state/api-key")
    named = merge(Config(), {"api": {"key_file": "/etc/key"}}, "test")
    assert key_file(named, Path("/state")) == Path("/etc/key")


# -- sections that others read -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Plug:
    """A plug."""

    name: str = option("", "Its name.")
    watts: float = option(0.0, "What it takes.", low=0, high=4000)


@dataclass(frozen=True, slots=True)
class Plugs:
    """Plugs."""

    wait_s: float = option(5.0, "Seconds.", low=0, high=60)
    devices: tuple[Plug, ...] = option((), "The plugs.", table_type=Plug)


PLUGS = '[power]\nwait_s = 7\n[[power.devices]]\nname = "printer"\nwatts = 250\n[[power.devices]]\nname = "light"\n'


def test_core_and_front_skip_the_sections_of_companions(tmp_path):
    path = written(tmp_path, PLUGS + "[spoolman]\nwhatever = true\n[http]\nport = 80\n")
    assert load(path, {}) == merge(Config(), {"http": {"port": 80}}, "test")
    assert switched_on(path, {}) == {"power", "notify"}


def test_a_companion_reads_and_writes_its_own_section(tmp_path):
    expected = Plugs(7.0, (Plug("printer", 250.0), Plug("light")))
    read = load_sections(written(tmp_path, PLUGS), {}, {"power": Plugs()})["power"]
    assert read == expected
    again = written(tmp_path, render_section("power", read))
    assert load_sections(again, {}, {"power": Plugs()})["power"] == expected
    assert load_sections(written(tmp_path, ""), {}, {"power": Plugs()}) == {"power": Plugs()}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[[power.devices]]\nname = "a"\nwats = 1', "power.devices[1].wats = 1: unknown key; did you mean watts?"),
        ("[[power.devices]]\nwatts = 9999", "power.devices[1].watts = 9999: must be a number from 0 to 4000"),
        ('[[power.devices]]\nname = "a"\n[[power.devices]]\nname = "A"', "power.devices: two tables have the name"),
        ('[power]\ndevices = ["a"]', 'power.devices = "a": must be a list of tables, [[power.devices]]'),
        ("[power]\ndevices = 5", "power.devices = 5: must be a list of tables, each with name, watts"),
        ("power = 5", "power = 5: must be a section, [power]"),
    ],
)
def test_invalid_settings_of_a_companion_are_refused(tmp_path, text, message):
    with pytest.raises(ConfigError) as caught:
        load_sections(written(tmp_path, text), {}, {"power": Plugs()})
    assert message in str(caught.value)
