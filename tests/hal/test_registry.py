"""Printer addresses and the backends behind them."""

import gc
import re
from dataclasses import replace
from importlib import metadata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal import registry
from hal.driver import LinePrinter, LinkSettings
from hal.errors import AddressError
from hal.printer import ConnectionState
from hal.registry import Address, check, create, natural_int, parse, positive_float, positive_int, schemes
from hal.serial_port import SerialTransport
from support.processes import open_below

printable = st.text().filter(str.isprintable)
options = st.dictionaries(printable.filter(bool), printable, max_size=4)
addresses = st.builds(Address, st.sampled_from(["sim", "serial"]), printable, options)


@pytest.mark.parametrize(
    ("text", "scheme", "target", "options"),
    [
        ("sim", "sim", "", {}),
        ("sim?speed=20&seed=1", "sim", "", {"speed": "20", "seed": "1"}),
        ("serial:/dev/ttyACM0", "serial", "/dev/ttyACM0", {}),
        ("serial:/dev/ttyACM0?baudrate=250000", "serial", "/dev/ttyACM0", {"baudrate": "250000"}),
        (
            "serial:/dev/serial/by-path/pci-0:14.0-usb-0:1:1.0",
            "serial",
            "/dev/serial/by-path/pci-0:14.0-usb-0:1:1.0",
            {},
        ),
        ("serial:auto", "serial", "auto", {}),
    ],
)
def test_an_address_is_parsed_and_formatted(text, scheme, target, options):
    assert parse(text) == Address(scheme, target, options)
    assert str(parse(text)) == text


@given(addresses)
def test_the_text_of_an_address_is_parsed_back(address):
    assert parse(str(address)) == address


@given(st.text())
def test_any_text_is_an_address_or_an_address_error(text):
    try:
        address = parse(text)
    except AddressError:
        return
    assert parse(str(address)) == address


@given(st.text(alphabet="serialm:/?=&%20a\x00"))
def test_text_close_to_an_address_is_one_or_an_address_error(text):
    test_any_text_is_an_address_or_an_address_error.hypothesis.inner_test("sim" + text)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("seril:/dev/ttyACM0", "'seril'; allowed: sim, serial"),
        ("", "''; allowed: sim, serial"),
        ("dev/ttyACM0", "'dev/ttyACM0'; allowed"),
        ("SIM", "'SIM'; allowed"),
        ("sim?speed", "'speed' is not an option; write name=value"),
        ("sim?=3", "'=3' is not an option"),
        ("sim?speed=1&", "'' is not an option"),
        ("sim?speed=1&speed=2", "speed is given twice"),
        ("serial:/dev/tty%00", r"'/dev/tty\\x00' holds a character"),
        ("serial:/dev/tty\n", r"holds a character that cannot be printed"),
    ],
)
def test_the_error_of_an_address_names_its_wrong_part(text, part):
    with pytest.raises(AddressError, match=part):
        parse(text)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("sim?sped=2", "sim.sped=2: unknown option 'sped'; allowed: firmware, scenario, speed, seed, baudrate"),
        ("sim?speed=0", "speed is '0'; allowed: a number above 0"),
        ("sim?speed=fast", "speed is 'fast'"),
        ("sim?speed=nan", "speed is 'nan'"),
        ("sim?speed=inf", "speed is 'inf'"),
        ("sim?seed=1.5", "seed is '1.5'; allowed: a whole number"),
        ("sim?baudrate=0", "baudrate is '0'"),
        ("sim:x", "leave out 'x'"),
        ("serial:/dev/ttyACM0?speed=2", "unknown option 'speed'; allowed: baudrate"),
    ],
)
async def test_a_backend_refuses_unknown_options(text, part):
    with pytest.raises(AddressError, match=part):
        create(text)


def test_an_address_is_checked_without_opening_anything():
    assert check("serial:/dev/ttyACM99?baudrate=250000") == parse("serial:/dev/ttyACM99?baudrate=250000")
    for wrong in ("serial:", "serial:dev/ttyACM0", "sim:foo", "sim?speed=-3", "serial:/dev/x?baudrate=abc"):
        with pytest.raises(AddressError, match=f"^{re.escape(wrong)}: "):
            check(wrong)


@pytest.mark.parametrize("more", ["", "&scenario=faults.toml"])
def test_checking_leaves_no_file_open_or_changed(tmp_path, monkeypatch, more):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "faults.toml").write_text('[[fault]]\nwhat = "hang"\ntime = 1\n')
    (tmp_path / "accepted").write_text("of a printer that is running\n")
    check(f"sim?oracle=accepted{more}")
    gc.collect()
    assert not open_below(tmp_path)
    assert (tmp_path / "accepted").read_text() == "of a printer that is running\n"
    with pytest.raises(AddressError, match="cannot write none/accepted: No such file or directory"):
        check(f"sim?oracle=none/accepted{more}")


async def test_a_printer_keeps_the_name_of_its_address_whatever_is_added():
    address = parse("serial:/dev/a b")
    assert create(replace(address, options={"baudrate": "9600"})).address == "serial:/dev/a b"
    assert str(replace(address, options={"baudrate": "9600"}, text="")) == "serial:/dev/a%20b?baudrate=9600"


async def test_a_serial_address_becomes_an_unopened_printer():
    printer = create("serial:/dev/ttyACM99?baudrate=250000", LinkSettings(greeting_timeout=1.5))
    assert isinstance(printer, LinePrinter)
    assert isinstance(printer._transport, SerialTransport)
    assert printer.address == "serial:/dev/ttyACM99?baudrate=250000"
    assert printer.state is ConnectionState.OFFLINE
    assert printer._settings.greeting_timeout == 1.5


async def test_the_simulated_printer_answers_as_soon_as_it_is_opened():
    printer = create(parse("sim?speed=20&seed=1"))
    assert printer.address == "sim?speed=20&seed=1"
    await printer.open()
    assert printer.state is ConnectionState.READY
    assert (await printer.send("M105"))[-1].startswith("ok")
    await printer.close()


async def test_simulated_printers_share_nothing():
    first, second = create("sim"), create("sim")
    assert first._transport is not second._transport
    assert first._transport._firmware is not second._transport._firmware


@pytest.fixture
def installed(monkeypatch):
    """Pretend that another distribution offers backends."""
    entries = []

    def entry_points(*, group, name=None):
        return [e for e in entries if e.group == group and name in (None, e.name)]

    monkeypatch.setattr(metadata, "entry_points", entry_points)
    registry._other_schemes.cache_clear()
    yield lambda name, value: entries.append(metadata.EntryPoint(name, value, registry.ENTRY_POINTS))
    registry._other_schemes.cache_clear()


async def test_an_installed_backend_is_found_by_its_scheme(installed):
    installed("usb", "hal.serial_port:create_transport")
    assert schemes() == ["sim", "serial", "tcp", "replay", "usb"]
    assert create("usb:/dev/ttyACM99").address == "usb:/dev/ttyACM99"
    with pytest.raises(AddressError, match="allowed: sim, serial, tcp, replay, usb"):
        parse("udp:x")


async def test_an_installed_backend_never_replaces_a_built_in_one(installed):
    installed("serial", "hal.simulated.backend:create_transport")
    assert schemes() == ["sim", "serial", "tcp", "replay"]
    assert isinstance(create("serial:/dev/ttyACM99")._transport, SerialTransport)


async def test_an_address_built_in_code_is_checked_too():
    with pytest.raises(AddressError, match="'udp'; allowed: sim, serial"):
        create(Address("udp", "localhost:1"))


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("7", 7), ("2147483647", 2**31 - 1)])
def test_reads_whole_numbers(text, number):
    assert natural_int(text) == number


@pytest.mark.parametrize("text", ["", "-1", "1_0", "+1", " 1", "٣", "1.0", "2147483648", "9" * 5000])
@pytest.mark.parametrize("kind", [natural_int, positive_int])
def test_refuses_other_text_as_a_whole_number(kind, text):
    with pytest.raises(ValueError, match="whole number"):
        kind(text)


@given(st.floats(min_value=1e-300, allow_infinity=False))
def test_reads_positive_numbers(number):
    assert positive_float(repr(number)) == number


@pytest.mark.parametrize("path", ["/dev/ttyUSB0", "/dev/serial/by-id/usb-Prusa_MK3-if00", "/dev/my%20port"])
@pytest.mark.parametrize("options", ["", "?baudrate=250000", "?baudrate=9600&parity=toggle"])
async def test_a_path_is_a_serial_port(path, options):
    written, meant = check(path + options), check(f"serial:{path}{options}")
    assert written == meant
    assert str(written) == path + options, "as the user has written it"
    assert parse(str(written)) == meant
