"""The doctor's checks, each with both outcomes, on made-up machines; none of them opens a port."""

import gzip
import json
import os
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from daemon.config import Config, merge
from daemon.doctor import cameras, companions, computer, ports, service
from daemon.doctor.finding import Grade, Subject
from daemon.doctor.run import CHECKS, findings
from daemon.doctor.view import DiskSpace, Node, View, WebAnswer
from daemon.systemd.installed import InstalledService
from hal.ports import Port

NOW = 1_795_000_000.0  # in November 2026
BOARD = Port("/dev/ttyUSB0", "/dev/serial/by-id/usb-1a86_Serial-if00", vid=0x1A86, pid=0x7523)
OTHER = Port("/dev/ttyACM1", "/dev/serial/by-id/usb-Prusa-if00", vid=0x2C99, pid=2)
LISTENING = {"running_version": "1.0", "version": "1.0", "sockets": ("0.0.0.0:5000",)}


class Machine:
    """A made-up machine: files below a folder, and what programs would say."""

    def __init__(self, root):
        self.root = root
        self.programs = {}
        self.state = root / "var/lib/nozzled"
        self.state.mkdir(parents=True)
        self.view = View(
            root=root,
            user="anna",
            run=lambda *words: self.programs.get(" ".join(words[:2]), None),
            ports=lambda: [BOARD],
            holders_of=lambda _: [],
            listeners_at=lambda _: [],
            fetch=lambda _, **__: None,
            groups_of=lambda _: {"dialout"},
            node=lambda _: Node("root", "dialout", 0o660),
            disk=lambda _: DiskSpace(10**10, 10**11),
            modules_of=lambda: {"daemon": ["nozzled"], "numpy": ["numpy"]},
            now=lambda: NOW,
        )
        self.subject = Subject(self.state, version="1.0", config=configured("serial:auto"))

    def write(self, path, text):
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def look(self, check, **other):
        """Run a check; `other` has functions of the view, or facts about the daemon."""
        view = replace(self.view, **{name: value for name, value in other.items() if hasattr(self.view, name)})
        fields = {name: value for name, value in other.items() if not hasattr(self.view, name)}
        return list(check(view, replace(self.subject, **fields)))

    def worst(self, check, **other):
        """Return level and words of the worst finding; None: nothing was found."""
        results = sorted(self.look(check, **other), key=lambda each: list(Grade).index(each.grade))
        return (results[-1].grade, f"{results[-1].text} -> {results[-1].fix}") if results else (None, "")


def configured(address, **http):
    return merge(Config(), {"printer": {"address": address}, "http": http}, "test")


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def installed(machine):
    return InstalledService(machine.root)


# -- the port ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "existing", "level", "words"),
    [
        ("serial:auto", [BOARD], Grade.GOOD, BOARD.address),
        ("serial:auto", [BOARD, OTHER], Grade.BAD, "usb-Prusa"),
        ("serial:auto", [], Grade.BAD, "another USB cable"),
        ("/dev/ttyUSB9", [BOARD], Grade.BAD, "existing ports: serial:/dev/serial/by-id/usb-1a86"),
        ("serial:/dev/ttyUSB0", [BOARD], Grade.GOOD, "exists"),
        ("", [], Grade.NOTE, "none found"),
        ("sim?speed=20", [], Grade.GOOD, "not a serial port"),
        ("usb:printer", [], Grade.BAD, "unknown kind of printer"),
    ],
)
def test_a_missing_or_ambiguous_port_is_reported(machine, address, existing, level, words):
    machine.write("/dev/ttyUSB0", "")
    finding = machine.worst(ports.port, ports=lambda: existing, config=configured(address))
    assert (finding[0], words in finding[1]) == (level, True), finding


def test_a_printer_chosen_by_a_client_needs_no_configured_port(machine):
    fields = {"config": configured(""), "ports": list}
    assert machine.worst(ports.port, **fields, printer_status="Printing")[0] is Grade.GOOD
    assert machine.worst(ports.port, **fields, printer_status="Offline")[0] is Grade.NOTE


@pytest.mark.parametrize(
    ("node", "groups", "level", "words"),
    [
        (Node("root", "dialout", 0o660), {"dialout"}, Grade.GOOD, "as a member of dialout"),
        (Node("root", "dialout", 0o660), {"video"}, Grade.BAD, "sudo usermod -aG dialout anna, then log in again"),
        (Node("root", "root", 0o600), {"dialout"}, Grade.BAD, "no group has it"),
        (Node("root", "root", 0o666), set(), None, ""),
        (Node("anna", "anna", 0o600), set(), None, ""),
        (None, set(), None, ""),
    ],
)
def test_a_missing_group_is_reported(machine, node, groups, level, words):
    finding = machine.worst(ports.rights, node=lambda _: node, groups_of=lambda _: groups)
    assert (finding[0], words in finding[1]) == (level, True), finding


def test_the_group_is_that_of_the_services_user(machine):
    users = []
    finding = machine.worst(
        ports.rights, service=installed(machine), groups_of=lambda user: users.append(user) or set()
    )
    assert (users, finding[0]) == (["nozzled"], Grade.BAD)
    assert "usermod -aG dialout nozzled, then sudo systemctl restart nozzled" in finding[1]
    assert machine.look(ports.rights, user="root") == []


@pytest.mark.parametrize(
    ("holders", "words"),
    [
        (["ModemManager"], "sudo systemctl disable --now ModemManager"),
        (["brltty"], "apt-get remove brltty"),
        (["octoprint"], "disable --now octoprint"),
        (["cura"], "stop cura"),
        (["nozzled"], ""),
        (["nozzled", "systemd"], ""),
        ([], ""),
    ],
)
def test_another_program_on_the_port_is_reported(machine, holders, words):
    finding = machine.worst(ports.port_holders, holders_of=lambda _: holders)
    assert (finding[0], words in finding[1]) == (Grade.BAD if words else None, True), finding


def test_a_relative_path_is_relative_to_the_current_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "doc").mkdir()
    (tmp_path / "doc/api-key").write_text("x")
    view = View()
    assert view.exists("doc/api-key")
    assert not view.exists("doc/other")
    assert [each.name for each in view.list_folder("doc")] == ["api-key"]


def test_programs_that_probe_ports_are_named(machine):
    assert machine.look(ports.probers) == []
    machine.programs["systemctl is-active"] = "active"
    assert "ModemManager is running" in machine.worst(ports.probers)[1]
    machine.programs.clear()
    machine.write("/usr/lib/udev/rules.d/85-brltty.rules", "")
    machine.write("/sys/bus/usb/devices/1-1/idVendor", "1a86\n")
    machine.write("/sys/bus/usb/devices/1-1/idProduct", "7523\n")
    assert machine.look(ports.probers) == [], "the chip has its port"
    level, words = machine.worst(ports.probers, ports=list)
    assert (level, "Braille" in words) == (Grade.BAD, True)


@pytest.mark.parametrize(
    ("address", "shown", "words"),
    [
        ("tcp:10.0.0.2:23", "yes", "nozzled.service may not use the network"),
        ("tcp:10.0.0.2:23", "no", ""),
        ("/dev/ttyAMA0", "char-166 rw char-188 rw", "DeviceAllow=char-204 rw"),
        ("/dev/ttyAMA0", "char-166 rw char-204 rw", ""),
        ("/dev/ttyS0", "char-166 rw", "DeviceAllow=char-4 rw"),
        ("/dev/ttyACM0", "char-166 rw", ""),
    ],
)
def test_devices_hidden_by_the_sandbox_are_reported(machine, address, shown, words):
    machine.programs["systemctl show"] = shown
    finding = machine.worst(ports.sandbox, config=configured(address), service=installed(machine))
    assert (finding[0], words in finding[1]) == (Grade.BAD if words else None, True), finding
    assert machine.look(ports.sandbox, config=configured(address)) == [], (
        "a daemon that is started by hand has no sandbox"
    )


def test_the_systems_console_on_the_printers_port_is_reported(machine):
    machine.write("/proc/cmdline", "console=ttyAMA0,115200 console=tty1 root=/dev/mmcblk0p2\n")
    assert machine.worst(ports.console, config=configured("serial:/dev/ttyAMA0?baudrate=250000"))[0] is Grade.BAD
    assert machine.look(ports.console, config=configured("/dev/ttyACM0")) == []


# -- the computer --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bits", "level", "words"),
    [
        ("0", Grade.GOOD, "is good"),
        ("50005", Grade.BAD, "too low (now)"),
        ("50000", Grade.BAD, "too low (earlier, since it booted)"),
        ("80008", Grade.NOTE, "it is too hot (now)"),
        ("20000", Grade.NOTE, "its clock is capped (earlier, since it booted)"),
        ("nonsense", Grade.NOTE, "cannot be checked"),
    ],
)
def test_power_problems_of_a_raspberry_pi_are_reported(machine, bits, level, words):
    assert machine.look(computer.power) == [], "this is no Raspberry Pi"
    machine.write(computer.MODEL_FILE, "Raspberry Pi 4 Model B Rev 1.4\0")
    machine.programs["vcgencmd get_throttled"] = f"throttled=0x{bits}"
    finding = machine.worst(computer.power)
    assert (finding[0], words in finding[1]) == (level, True), finding
    if bits != "nonsense":
        machine.programs.clear()
        machine.write(computer.THROTTLED_FILE, f"{bits}\n")
        assert machine.worst(computer.power) == finding, "the kernel says the same"


@pytest.mark.parametrize(
    ("space", "level", "words"),
    [
        (DiskSpace(10**10, 10**11), Grade.GOOD, "10.0 GB of 100.0 GB"),
        (DiskSpace(5 * 10**8, 10**10), Grade.NOTE, "nearly full"),
        (DiskSpace(10**6, 10**10), Grade.BAD, "the disk is full: 1 MB"),
        (DiskSpace(10**10, 10**11, read_only=True), Grade.BAD, "is read-only"),
        (None, Grade.NOTE, "cannot be checked"),
    ],
)
def test_a_full_or_read_only_disk_is_reported(machine, space, level, words):
    finding = machine.worst(computer.disk, disk=lambda _: space)
    assert (finding[0], words in finding[1]) == (level, True), finding


def test_a_wrong_clock_is_reported(machine):
    machine.programs["timedatectl show"] = "yes"
    assert machine.worst(computer.clock)[0] is Grade.GOOD
    machine.programs["timedatectl show"] = "no"
    assert machine.worst(computer.clock)[0] is Grade.NOTE
    assert machine.worst(computer.clock, now=lambda: 0.0)[0] is Grade.BAD


def test_heat_and_lack_of_memory_are_reported(machine):
    assert machine.look(computer.heat) == machine.look(computer.memory) == []
    machine.write("/sys/class/thermal/thermal_zone0/temp", "51000\n")
    machine.write("/proc/meminfo", "MemTotal: 4000000 kB\nMemAvailable:   400000 kB\n")
    assert machine.look(computer.heat) == machine.look(computer.memory) == []
    machine.write("/sys/class/thermal/thermal_zone0/temp", "83500\n")
    machine.write("/proc/meminfo", "MemAvailable:   4000 kB\n")
    assert "84 °C" in machine.worst(computer.heat)[1]
    assert "4 MB" in machine.worst(computer.memory)[1]


# -- the daemon ----------------------------------------------------------------------------------------------------


def test_a_running_daemon_of_another_version_is_reported(machine):
    machine.programs["systemctl --version"] = "systemd 252\n+PAM"
    assert machine.worst(service.versions, running_version="1.0") == (Grade.GOOD, machine.worst(service.versions)[1])
    assert "has version 0.9" in machine.worst(service.versions, running_version="0.9")[1]


@pytest.mark.parametrize(
    ("printer", "on_stop", "fix"),
    [
        ("", "hand-over", "sudo systemctl restart nozzled (a print continues)"),
        ("", "safe", "sudo systemctl restart nozzled (this ends a print)"),
        ("mk3", "hand-over", "sudo systemctl restart nozzled@mk3 (a print continues)"),
        (None, "hand-over", "end the running daemon, which ends a print, and start it again"),
    ],
)
def test_the_restart_for_another_version_says_what_it_does_to_a_print(machine, printer, on_stop, fix):
    own = None if printer is None else InstalledService(machine.root, printer)
    config = merge(Config(), {"job": {"on_stop": on_stop}}, "test")
    finding = machine.worst(service.versions, running_version="0.9", service=own, config=config)
    assert finding[1].endswith(f"-> {fix}")


def test_the_fixes_for_one_of_several_printers_name_its_units(machine):
    own = InstalledService(machine.root, "mk3")
    silent = machine.worst(service.http, service=own, **{**LISTENING, "running_version": ""})
    assert silent[1].endswith("-> systemctl status nozzled-front@mk3")
    closed = machine.worst(ports.rights, service=own, groups_of=lambda _: set())
    assert closed[1].endswith("then sudo systemctl restart nozzled@mk3")


def test_another_distribution_with_our_modules_is_reported(machine):
    assert machine.worst(service.modules) == (None, "")
    both = {"daemon": ["nozzled", "python-daemon"]}
    level, text = machine.worst(service.modules, modules_of=lambda: both)
    assert level is Grade.BAD
    assert text.startswith("the module `daemon` here also belongs to python-daemon: they break each other -> ")


def test_a_mistake_in_the_configuration_is_reported(machine):
    assert machine.worst(service.configuration)[0] is Grade.GOOD
    finding = machine.worst(
        service.configuration, mistake="http.prot = 1: unknown key", config_path=Path("/etc/nozzled.toml")
    )
    assert finding == (
        Grade.BAD,
        "http.prot = 1: unknown key -> sudo nano /etc/nozzled.toml; `nozzled config` shows all settings",
    )


@pytest.mark.parametrize(
    ("shown", "level", "words"),
    [
        ("ActiveState=active\nNRestarts=0\nUnitFileState=enabled", Grade.GOOD, "is running"),
        ("ActiveState=active\nNRestarts=4", Grade.NOTE, "restarted it 4 times"),
        ("ActiveState=active\nNRestarts=0\nUnitFileState=disabled", Grade.NOTE, "does not start with the computer"),
        ("ActiveState=failed\nResult=watchdog", Grade.BAD, "has failed (watchdog)"),
        ("ActiveState=inactive", Grade.BAD, "is not running (inactive)"),
        ("", Grade.BAD, "unknown to systemd"),
    ],
)
def test_units_that_do_not_run_are_reported(machine, shown, level, words):
    machine.programs["systemctl show"] = shown
    results = machine.look(service.units, service=installed(machine))
    assert any((each.grade, words in each.text) == (level, True) for each in results), results
    assert machine.worst(service.units)[0] is Grade.NOTE, "no service"


def test_only_the_failure_of_the_core_has_turned_the_heaters_off(machine):
    machine.programs["systemctl show"] = "ActiveState=failed\nResult=exit-code"
    core, front = (each.text for each in machine.look(service.units, service=installed(machine)))
    assert core.endswith("nozzled.service has failed (exit-code); the heaters were turned off")
    assert front.endswith("nozzled-front.service has failed (exit-code)")


@pytest.mark.parametrize(
    ("fields", "level", "words"),
    [
        (LISTENING, Grade.GOOD, "HTTP answers"),
        ({**LISTENING, "running_version": ""}, Grade.BAD, "no answer"),
        ({**LISTENING, "running_version": None}, Grade.NOTE, "without its key"),
        (
            {**LISTENING, "running_version": "", "listeners_at": lambda _: ["nginx"]},
            Grade.BAD,
            "another program uses port 5000: nginx",
        ),
        ({**LISTENING, "listeners_at": lambda _: ["nozzled"]}, Grade.GOOD, "HTTP answers"),
        ({**LISTENING, "sockets": ("127.0.0.1:5000",)}, Grade.NOTE, "other computers and phones cannot connect"),
        ({**LISTENING, "sockets": ("0.0.0.0:81",)}, Grade.NOTE, "systemd listens at 0.0.0.0:81"),
    ],
)
def test_an_http_port_that_is_silent_taken_or_elsewhere_is_reported(machine, fields, level, words):
    results = machine.look(service.http, service=installed(machine), config=configured("sim", host="0.0.0.0"), **fields)
    assert any((each.grade, words in each.text) == (level, True) for each in results), results


@pytest.mark.parametrize(("host", "alone"), [("0.0.0.0", False), ("::", False), ("127.0.0.1", True), ("::1", True)])
def test_a_daemon_that_listens_only_for_this_computer_is_reported(machine, host, alone):
    results = machine.look(service.http, host="127.0.0.1", config=configured("sim", host=host))
    assert any("other computers and phones cannot connect" in each.text for each in results) == alone


def test_a_halted_printer_is_not_good(machine):
    status = "Operational: the firmware has halted: Heating failed"
    assert machine.worst(service.printer_error, printer_status=status)[0] is Grade.NOTE


def test_a_missing_invalid_or_exposed_key_is_reported(machine):
    mine = Node("nozzled", "nozzled", 0o600)
    fields = {"service": installed(machine), "user": "root"}
    assert "does not exist yet" in machine.worst(service.key, **fields)[1]
    assert "sudo nozzled doctor" in machine.worst(service.key, **{**fields, "user": "anna"})[1]
    machine.write("/var/lib/nozzled/api-key", "x" * 43 + "\n")
    assert machine.worst(service.key, **fields, node=lambda _: mine)[0] is Grade.GOOD
    assert (
        "other users can read the key"
        in machine.worst(service.key, **fields, node=lambda _: replace(mine, mode=0o644))[1]
    )
    assert "chown nozzled" in machine.worst(service.key, **fields, node=lambda _: replace(mine, user="root"))[1]
    machine.write("/var/lib/nozzled/api-key", "short")
    assert "does not hold a valid key" in machine.worst(service.key, **fields, node=lambda _: mine)[1]


def test_named_keys_are_counted_and_damaged_files_reported(machine):
    assert machine.look(service.keyring) == machine.look(service.damaged_files) == []
    machine.write("/var/lib/nozzled/keys.json", json.dumps({"keys": [{}, {}]}))
    assert machine.worst(service.keyring) == (Grade.GOOD, "named keys: 2 -> ")
    machine.write("/var/lib/nozzled/keys.json", "[]")
    assert machine.worst(service.keyring)[0] is Grade.BAD
    machine.write("/var/lib/nozzled/nozzled.db.damaged", "")
    assert "nozzled.db.damaged" in machine.worst(service.damaged_files)[1]


@pytest.mark.parametrize(
    ("doing", "level"),
    [
        ("Operational", Grade.GOOD),
        ("Printing", Grade.GOOD),
        ("", None),
        ("Offline after error: no port", Grade.BAD),
        ("Offline: no core", Grade.BAD),
    ],
)  # fmt: skip
def test_the_state_of_the_printer_is_reported(machine, doing, level):
    assert machine.worst(service.printer_error, printer_status=doing)[0] is level


def test_faults_of_the_last_day_and_warnings_in_the_log_are_reported(machine):
    assert machine.look(service.faults) == machine.look(service.log) == []
    fault = machine.write("/var/lib/nozzled/faults/old.jsonl.gz", "")
    assert machine.look(service.faults, now=lambda: fault.stat().st_mtime + 2 * 86400) == []
    finding = machine.worst(service.faults, now=lambda: fault.stat().st_mtime + 60)
    assert f"nozzled replay --show {fault}" in finding[1]
    lines = [
        '{"format": "nozzled session"}',
        '[0.1,">","M105\\n"]',
        '[0.2,"<","ok T:20\\n"]',
        '[9,"!","lost it is gone"]',
    ]
    for end, words in ((3, "'ok T:20'"), (4, "'lost it is gone'")):
        fault.write_bytes(gzip.compress("\n".join(lines[:end]).encode()))
        assert words in machine.worst(service.faults, now=lambda: fault.stat().st_mtime + 60)[1]
    for number in range(4):
        machine.write(f"/var/lib/nozzled/faults/{number}", "cut off")
    assert "2 more connections" in machine.worst(service.faults, now=lambda: fault.stat().st_mtime + 60)[1]
    fields = {"service": installed(machine)}
    assert "sudo ls" in machine.worst(service.faults, **fields, now=lambda: fault.stat().st_mtime + 60)[1]
    assert "cannot be read" in machine.worst(service.log, **fields)[1]
    machine.programs["journalctl -t"] = ""
    assert machine.look(service.log, **fields) == []
    machine.programs["journalctl -t"] = "one\ntwo"
    shown = machine.worst(service.log, **fields)[1]
    assert "within a day: 2;" in shown
    assert shown.endswith("journalctl -t nozzled -u nozzled -u nozzled-front -p warning -n 50")


def test_a_failing_check_does_not_prevent_the_others(machine):
    def broken(*_):
        raise ZeroDivisionError

    results = list(findings(replace(machine.view, ports=broken), machine.subject))
    assert sum("itself failed" in each.text for each in results) == 3
    assert len(results) >= len(CHECKS) / 3  # some have nothing to say of this machine


def test_no_port_is_opened(machine, monkeypatch):
    """Opening one resets most boards, and would end a print."""
    opened = []

    def recording(real):
        return lambda path, *arguments, **options: opened.append(str(path)) or real(path, *arguments, **options)

    for name, real in (("os.open", os.open), ("builtins.open", open), ("io.open", open)):  # pathlib takes io.open
        monkeypatch.setattr(name, recording(real))
    real = replace(View(), now=lambda: NOW, ports=lambda: [replace(BOARD, path="/dev/null")], run=lambda *_: None)
    list(findings(real, machine.subject))
    assert "/proc/meminfo" in opened
    assert [path for path in opened if path.startswith("/dev/") and not path.startswith("/dev/shm/")] == []


def with_camera(**urls):
    return merge(Config(), {"webcam": urls}, "test")


def test_a_camera_that_does_not_answer_is_reported(machine):
    local = with_camera(stream_url="http://127.0.0.1:8080/stream")
    assert machine.worst(cameras.cameras, config=local)[0] is Grade.NOTE
    there = {"http://127.0.0.1:8080/snapshot": WebAnswer("image/jpeg", "", b"")}
    assert machine.worst(cameras.cameras, config=local, fetch=lambda url, **_: there.get(url))[0] is Grade.GOOD
    odd = machine.worst(cameras.cameras, config=local, fetch=lambda *_, **__: WebAnswer("text/html", "", b""))
    assert "sends text/html" in odd[1]
    for elsewhere in ("http://cam.local/stream", "http://anna:x@cam.local/stream", "http://cam.local/stream?pwd=x"):
        assert machine.look(cameras.cameras, config=with_camera(stream_url=elsewhere)) == []


def test_a_camera_of_this_machine_gets_its_password(machine):
    class Streamer(BaseHTTPRequestHandler):
        def do_GET(self):
            is_allowed = self.headers.get("Authorization") == "Basic YW5uYTpmcm9nIQ=="  # anna:frog!
            self.send_response(200 if is_allowed else 401)
            self.send_header("Content-Type", "image/jpeg")
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Streamer) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        config = with_camera(snapshot_url=f"http://anna:frog%21@127.0.0.1:{server.server_port}/snapshot")
        assert machine.worst(cameras.cameras, config=config, fetch=View().fetch)[0] is Grade.GOOD
        server.shutdown()


def test_a_camera_with_https_is_asked_with_tls(monkeypatch):
    """Else its password would go over the network as it is, and the camera would not answer."""
    asked = []

    class Connection:
        def __init__(self, host, port, **_):
            asked.append((host, port))

        def request(self, *_, **__):
            raise OSError

        def close(self):
            pass

    monkeypatch.setattr("http.client.HTTPSConnection", Connection)
    assert View().fetch("https://anna:x@localhost/snapshot") is None
    assert asked == [("localhost", None)]


@pytest.mark.parametrize("port", ["99999", "80a"])
def test_a_camera_at_an_impossible_port_does_not_answer(machine, port):
    config = with_camera(snapshot_url=f"http://127.0.0.1:{port}/snapshot")
    level, words = machine.worst(cameras.cameras, config=config, fetch=View().fetch)
    assert (level, f"does not answer at http://127.0.0.1:{port}/snapshot" in words) == (Grade.NOTE, True)


def test_streamers_of_this_machine_are_found_with_their_addresses(machine):
    answers = {
        "http://127.0.0.1:8080/?action=snapshot": WebAnswer("image/jpeg", "MJPG-Streamer/0.2", b""),
        "http://127.0.0.1:8081/snapshot": WebAnswer("image/jpeg", "", b""),
        "http://127.0.0.1:1984/api/streams": WebAnswer("application/json", "", b'{"bed cam": {}}'),
        "http://127.0.0.1:8889/": WebAnswer("text/plain", "mediamtx", b""),
    }
    results = machine.look(cameras.cameras, config=Config(), fetch=lambda url, **_: answers.get(url))
    text = "\n".join(f"{each.text} {each.fix}" for each in results)
    assert len(results) == 4
    for setting in (
        'stream_url = "http://127.0.0.1:8080/?action=stream"',
        'snapshot_url = "http://127.0.0.1:8081/snapshot"',
        "MJPG-Streamer",
        "/api/frame.jpeg?src=bed%20cam",
        'webrtc_url = "http://THIS-COMPUTER:8889/NAME"',
    ):
        assert setting in text
    for body in (b"{", b"null", b"7", b"[]"):
        other = {"http://127.0.0.1:1984/api/streams": WebAnswer("application/json", "", body)}
        assert machine.look(cameras.cameras, config=Config(), fetch=lambda url, there=other, **_: there.get(url)) == []


def beside(name, state, *, away=False):
    return {"companions": {name: {"away": away, "state": state}}}


def plug(**more):
    return {"name": "Printer", "on": True, "error": None, "printer": True} | more


def message(reason=None, **more):
    return {"target": "phone", "kind": "done", "reason": reason, "text": f"3 tries: {reason}"} | more


STOP = {"pushed": False, "confirmed": None, "direct": True}


@pytest.mark.parametrize(
    ("name", "state", "level", "words"),
    [
        ("power", None, Grade.NOTE, "not running"),
        ("power", {"devices": [plug()]}, Grade.GOOD, "power: Printer is on"),
        ("power", {"devices": [plug(on=None, error="Printer does not answer")]}, Grade.NOTE, "does not answer"),
        ("power", {"devices": [plug(on=None)]}, Grade.NOTE, "the state of Printer is unknown"),
        ("power", {"devices": [plug(printer=False)]}, Grade.NOTE, 'role = "printer"'),
        ("power", {"sensors": {"stop": STOP}}, Grade.GOOD, "is ready"),
        ("power", {"sensors": {"stop": STOP | {"direct": False}}}, Grade.NOTE, "only through the front"),
        ("power", {"sensors": {"stop": STOP | {"pushed": True}}}, Grade.NOTE, "its wire is broken"),
        ("power", {"sensors": {"filament": [{"name": "left", "present": False}]}}, Grade.NOTE, "left"),
        ("notify", {"targets": [{"name": "phone"}], "results": [message(), message("no")]}, Grade.GOOD, "delivered"),
        (
            "notify",
            {"targets": [{"name": "phone"}], "results": [message("no")]},
            Grade.NOTE,
            "not delivered: 3 tries",
        ),
        ("notify", {"targets": [{"name": "phone"}]}, Grade.NOTE, "nozzled notify test phone"),
        ("notify", {"problem": "there is no target"}, Grade.NOTE, "no target"),
        ("notify", {"spoolman": {"away": "it does not answer"}}, Grade.NOTE, "Spoolman"),
        ("timelapse", {"trouble": "no camera delivers single pictures"}, Grade.NOTE, "no camera"),
        ("mqtt", {"connected": False, "broker": "hub:1883", "trouble": "refused"}, Grade.NOTE, "hub:1883: refused"),
        ("mqtt", {"connected": True, "broker": "hub:1883"}, Grade.GOOD, "connected"),
        ("farm", {"id": "mk3-1", "trouble": "cannot reach NATS"}, Grade.NOTE, "cannot reach NATS"),
        ("farm", {"id": "mk3-1", "trouble": None}, Grade.GOOD, "connected as mk3-1"),
    ],
)
def test_companions_are_reported(machine, name, state, level, words):
    severity, text = machine.worst(companions.companions, **beside(name, state))
    assert (severity, words in text) == (level, True), text


def test_a_companion_that_does_not_run_is_named_with_its_unit(machine):
    away = beside("power", {}, away=True)
    assert "-> nozzled power serve" in machine.worst(companions.companions, **away)[1]
    alone = machine.worst(companions.companions, service=installed(machine), **away)
    assert alone[1].endswith("sudo systemctl enable --now nozzled-power")
    several = machine.worst(companions.companions, service=InstalledService(machine.root, "left"), **away)
    assert several[1].endswith("sudo systemctl enable --now nozzled-power@left")
    farm = beside("farm", {}, away=True)
    assert "-> nozzled farm agent" in machine.worst(companions.companions, **farm)[1]
    of_farm = machine.worst(companions.companions, service=InstalledService(machine.root, "left"), **farm)
    assert of_farm[1].endswith("sudo systemctl enable --now nozzled-farm-agent@left")
    assert machine.look(companions.companions) == []
