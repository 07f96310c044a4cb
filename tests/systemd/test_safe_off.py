"""The helper that systemd starts for a daemon that stays dead: it turns the heaters off."""

import fcntl
import importlib.util
import os
import pty
import struct
import subprocess
import sys
import threading
import time
import tty
from pathlib import Path

import pytest

from support.processes import ProcessGroup, until
from support.waiting import TIMEOUT

SCRIPT = Path(__file__).parents[2] / "systemd/safe_off.py"
OFF = b"\nM112\nM104 S0\nM140 S0\nM107\n"


def safe_off(folder, unit="nozzled"):
    """Run the script as the unit does, with only the standard library; return its exit status and output."""
    command = [sys.executable, "-I", "-S", SCRIPT, unit, "--state", folder / "state", "--config", folder / "etc"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False, env={})
    assert "Traceback" not in result.stderr
    return result.returncode, result.stderr.strip()


def note(folder, text, unit="nozzled"):
    (folder / "state" / unit).mkdir(parents=True)
    (folder / "state" / unit / "line.json").write_text(text)


def configured(folder, text, name="nozzled.toml"):
    path = folder / "etc" / name
    path.parent.mkdir(parents=True)
    path.write_text(text)


@pytest.fixture
def port():
    """A port, and the bytes written to it; `answer` is the printer's reply to the first of them."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    heard = bytearray()
    end = threading.Event()

    class Port:
        path = os.ttyname(slave)
        answer = b""

        @staticmethod
        def baudrate():
            settings = bytearray(struct.calcsize("4I20B2I"))  # struct termios2
            fcntl.ioctl(slave, 0x802C542A, settings)  # TCGETS2, which knows all baudrates
            return struct.unpack("4I20B2I", settings)[-1]

    def listen():
        while not end.is_set():
            try:
                data = os.read(master, 4096)
            except BlockingIOError:
                time.sleep(0.005)
                continue
            except OSError:
                return
            if not heard and Port.answer:
                os.write(master, Port.answer)
            heard.extend(data)

    os.set_blocking(master, False)
    Port.heard = heard
    thread = threading.Thread(target=listen)
    thread.start()
    yield Port
    end.set()
    thread.join()
    os.close(slave)
    os.close(master)


def test_a_simulated_printer_in_the_middle_of_heating_is_stopped(tmp_path):
    processes = ProcessGroup(tmp_path)
    try:
        printer = processes.printer(20)
        fd = os.open(printer.link, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(fd)

        def heats():  # said again and again: it boots when it is opened, and hears nothing meanwhile
            os.write(fd, b"M104 S210\nM140 S60\n")
            time.sleep(0.1)
            return "M140 S60" in printer.accepted()

        until(heats, "the heaters to be on")
        fcntl.flock(fd, fcntl.LOCK_EX)  # held by a process that does not use the printer
        note(tmp_path, f'{{"port": "{printer.link}", "baudrate": 115200, "extruders": 1, "chamber": false}}')
        status, output = safe_off(tmp_path)
        os.close(fd)
        assert (status, output) == (0, f"<4>{printer.link}: the printer has stopped, its heaters are off")
        assert "M112" in printer.accepted()
    finally:
        processes.close()


def test_commands_are_sent_three_times_after_a_line_break(tmp_path, port):
    port.answer = b"Error:Printer halted. kill() called!\n"
    note(tmp_path, f'{{"port": "{port.path}", "baudrate": 250000, "extruders": 1, "chamber": false}}')
    assert safe_off(tmp_path)[0] == 0
    until(lambda: bytes(port.heard) == OFF * 3, "all commands")
    assert port.baudrate() == 250000


def test_every_heater_is_named(tmp_path, port):
    port.answer = b"start\n"
    note(tmp_path, f'{{"port": "{port.path}", "baudrate": 115200, "extruders": 3, "chamber": true}}')
    assert safe_off(tmp_path)[0] == 0
    expected = b"\nM112\nM104 S0\nM104 T1 S0\nM104 T2 S0\nM140 S0\nM141 S0\nM107\n"
    until(lambda: bytes(port.heard) == expected * 3, "all commands")


@pytest.mark.parametrize(
    ("option", "setting", "baudrate"),
    [("", "", 115200), ("", "baudrate = 250000\n", 250000), ("?baudrate=57600", "baudrate = 250000\n", 57600)],
)
def test_the_configured_baudrate_is_used(tmp_path, port, option, setting, baudrate):
    port.answer = b"start\n"
    configured(tmp_path, f'[printer]\naddress = "serial:{port.path}{option}"\n{setting}')
    assert safe_off(tmp_path)[0] == 0
    assert port.baudrate() == baudrate


@pytest.fixture
def script():
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("safe_off", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_printer_that_confirms_nothing_is_reset(script, port, monkeypatch):
    resets = []
    monkeypatch.setattr(script, "CONFIRM_TIMEOUT", 0.1)
    monkeypatch.setattr(script, "_reset", resets.append)
    assert not script.make_safe(script.PrinterPort(port.path))
    assert len(resets) == 1


@pytest.mark.parametrize(
    "text",
    [
        b"Error:Printer halted. kill() called!", b"start", b"ok Emergency Stop Requested - reset or M999 required",
        b"// Klipper state: Shutdown", b"RepRapFirmware for Duet 2 is up and running.",
    ],
)  # fmt: skip
def test_each_firmwares_confirmation_is_recognised(script, text):
    assert script._stopped(text)
    assert not script._stopped(b"ok T:200.0 /200.0\n")


def test_the_heaters_may_come_from_the_configuration(tmp_path, port):
    port.answer = b"start\n"
    profile = "[profile]\nextruders = 2\nheated_chamber = true\n"
    configured(tmp_path, f'[printer]\naddress = "serial:{port.path}"\n{profile}')
    assert safe_off(tmp_path)[0] == 0
    expected = b"\nM112\nM104 S0\nM104 T1 S0\nM140 S0\nM141 S0\nM107\n"
    until(lambda: bytes(port.heard) == expected * 3, "all commands")


def test_auto_is_the_only_unused_port_and_none_of_several(script, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "BY_ID", tmp_path)
    configured(tmp_path, '[printer]\naddress = "serial:auto"\n')

    def find():
        return script.find("nozzled", tmp_path / "state", tmp_path / "etc").port

    assert find() == ""
    opened = [fd for _ in range(2) for fd in pty.openpty()]
    try:
        for name, slave in (("usb-a", opened[1]), ("usb-b", opened[3])):
            (tmp_path / name).symlink_to(os.ttyname(slave))
        assert find() == ""
        fcntl.flock(opened[1], fcntl.LOCK_EX)  # as the service of another printer does
        assert find() == str(tmp_path / "usb-b")
        fcntl.flock(opened[3], fcntl.LOCK_EX)
        assert find() == ""
    finally:
        for fd in opened:
            os.close(fd)


def test_an_unconfirmed_stop_asks_to_cut_the_power(tmp_path, port):
    configured(tmp_path, f'[printer]\naddress = "serial:{port.path}"\n')
    status, output = safe_off(tmp_path)
    assert status == 1
    assert output.startswith("<2>")
    assert "CUT THE PRINTER'S POWER" in output


NOTE = '{"port": "/dev/x", "baudrate": 9600, "extruders": 1, "chamber": false}'


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", '{"port": "/dev/x", "baudrate": null}', "[" * 100_000,
        NOTE.replace("9600", "1e999"), NOTE.replace("9600", "1" + "0" * 30), NOTE.replace("/dev/x", r"/dev/\u0000"),
    ],
)  # fmt: skip
def test_the_configuration_replaces_a_broken_note(tmp_path, port, text):
    port.answer = b"start\n"
    note(tmp_path, text)
    configured(tmp_path, f'[printer]\naddress = "serial:{port.path}"\n')
    assert safe_off(tmp_path)[0] == 0


def test_the_rest_of_an_invalid_configuration_is_used(tmp_path, port):
    port.answer = b"start\n"
    configured(
        tmp_path, f'[printer]\naddress = "serial:{port.path}"\nbaudrate = inf\n[profile]\nextruders = 1000000000\n'
    )
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "state" / "nozzled").mkdir(parents=True)
    (tmp_path / "pipe").rename(tmp_path / "state" / "nozzled" / "line.json")
    assert safe_off(tmp_path)[0] == 0


def test_one_of_several_printers_is_found_by_its_unit(tmp_path, port):
    port.answer = b"start\n"
    note(tmp_path, f'{{"port": "{port.path}", "baudrate": 115200, "extruders": 1, "chamber": false}}', "nozzled-AB-12")
    assert safe_off(tmp_path, "nozzled@AB-12")[0] == 0


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (None, "serial port of the printer is not known"),
        ("not TOML", "serial port of the printer is not known"),
        ('[printer]\naddress = "sim"\n', "serial port of the printer is not known"),
        ("printer = 1\n", "serial port of the printer is not known"),
        ('[printer]\naddress = "serial:/dev/none"\n', "No such file or directory; CUT THE PRINTER'S POWER"),
    ],
)
def test_failures_are_reported(tmp_path, text, error):
    if text is not None:
        configured(tmp_path, text)
    status, line = safe_off(tmp_path)
    assert status == 1
    assert error in line


def test_an_instance_without_settings_is_found_by_its_name(tmp_path):
    status, line = safe_off(tmp_path, "nozzled@AB12")
    assert status == 1
    assert line.startswith("<2>/dev/printer/AB12: No such file or directory")


def test_the_script_needs_only_the_standard_library():
    names = {
        line.split()[1].partition(".")[0] for line in SCRIPT.read_text().splitlines() if line[:5] in ("impor", "from ")
    }
    assert names <= set(sys.stdlib_module_names)
    assert SCRIPT.read_text().startswith("#!/usr/bin/python3 -I\n")
    assert os.access(SCRIPT, os.X_OK)
