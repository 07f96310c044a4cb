"""Accepted and refused values of [power] and [sensors]."""

import pytest

from daemon.companions.power.assembly import build, password
from daemon.companions.power.config import read
from daemon.companions.power.devices import make
from daemon.companions.power.errors import DeviceError
from daemon.errors import ConfigError

GOOD = """
[power]
auto_off = true

[[power.devices]]
name = "Printer"
type = "tasmota"
role = "printer"
address = "plug.local"
password_file = "plug.password"

[[power.devices]]
name = "light"
type = "command"
on_command = ["true"]
off_command = ["true"]

[sensors]
stop_pin = "GPIO27"

[[sensors.filament]]
pin = "GPIO17"
action = "m600"
"""


def configured(tmp_path, text):
    path = tmp_path / "nozzled.toml"
    path.write_text(text)
    return read(path, {})


def test_a_whole_configuration_is_read(tmp_path, monkeypatch):
    power, sensors = configured(tmp_path, GOOD)
    assert power.auto_off and power.locked_while_printing  # noqa: PT018 - one thing
    assert [each.type for each in power.devices] == ["tasmota", "command"]
    assert (sensors.stop_pin, sensors.filament[0].action) == ("GPIO27", "m600")
    with pytest.raises(ConfigError, match=r"Printer: password_file .*No such file"):
        password(power.devices[0], tmp_path)
    (tmp_path / "plug.password").write_text("secret\n")
    assert password(power.devices[0], tmp_path) == "secret"
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "plug.password").write_text("of systemd")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "given"))
    assert password(power.devices[0], tmp_path) == "of systemd"


async def test_the_only_switch_is_the_printers(tmp_path):
    one = '[[power.devices]]\nname = "{}"\ntype = "relay"\n'
    for text, printer in (
        (one.format("plug"), "plug"),
        (one.format("plug") + 'role = "other"\n', None),
        (one.format("plug") + one.format("lamp"), None),
        (one.format("plug") + one.format("lamp") + 'role = "printer"\n', "lamp"),
    ):
        power, _ = configured(tmp_path, text)
        built = build(None, tmp_path, power, {}, lambda: 0.0, None)
        assert (built.printer and built.printer.name) == printer


DEVICE = '[[power.devices]]\nname = "a"\n'


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (DEVICE, "type is missing"),
        ('[[power.devices]]\ntype = "relay"\n', "name is missing"),
        (DEVICE + 'type = "toaster"\n', "must be one of"),
        (DEVICE + 'type = "tasmota"\n', "needs address"),
        (DEVICE + 'type = "tasmota"\naddress = "x"\non_url = "y"\n', "type tasmota does not use on_url"),
        (DEVICE + 'type = "http"\non_url = "y"\n', "needs off_url"),
        (DEVICE + 'type = "mqtt"\naddress = "x"\n', "either topic"),
        (DEVICE + 'type = "relay"\nstate_on = "off"\n', "does not use state_on"),
        (DEVICE + 'type = "command"\non_command = ["a"]\noff_command = ["a"]\nstate_on = "off"\n', "must differ"),
        (DEVICE + 'type = "relay"\nrole = "printer"\n' + DEVICE + 'type = "relay"\n', "two tables have the name"),
        (
            DEVICE
            + 'type = "relay"\nrole = "printer"\n[[power.devices]]\nname = "b"\ntype = "relay"\nrole = "printer"\n',
            "only one may have",
        ),
        ("[[sensors.filament]]\n", "pin is missing"),
        ('[sensors]\nstop_pin = "GPIO1"\n[[sensors.filament]]\npin = "GPIO1"\n', "GPIO1 is used twice"),
        ('[[sensors.filament]]\npin = "GPIO1"\ndebounce_s = 9\n', "must be a number from"),
        ("[power]\nbefore_off = ['M110 N0']\n", "before_off"),
    ],
)
def test_invalid_settings_are_refused_by_name(tmp_path, text, why):
    with pytest.raises(ConfigError, match=why):
        configured(tmp_path, text)


def test_an_invalid_name_of_a_relay_or_broker_is_refused(tmp_path):
    power, _ = configured(tmp_path, DEVICE + 'type = "relay"\nrelay = "../../tmp/x"\n')
    with pytest.raises(DeviceError, match="is not a relay's name"):
        make(power.devices[0])
    power, _ = configured(tmp_path, DEVICE + 'type = "mqtt"\naddress = "a:b"\ntopic = "x"\n')
    with pytest.raises(DeviceError, match="is not a broker's address"):
        make(power.devices[0])
