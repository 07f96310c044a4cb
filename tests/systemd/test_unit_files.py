"""The units by systemd's own checks: no warnings, little exposure, and a valid command line."""

import argparse
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from daemon.cli import EXIT_GAVE_UP, core, farm, front, mqtt, notify, power, timelapse
from daemon.cli.farm_serve import FOLDER, STORE
from daemon.config import DiscoveryConfig, HttpConfig, core_socket, stop_socket
from daemon.config.sections import COMPANIONS, unit_of
from daemon.core.safety.rules import HEATERS_OFF_TIMEOUT
from daemon.core.supervision import JOB_TYPE
from daemon.farm.nats_server.folder import CONF, GROUP, SEED
from daemon.farm.server.config import NO_SEED, SEED_CREDENTIAL, STATE
from daemon.front.access.keys import CREDENTIAL
from daemon.systemd.descriptors import HTTP
from support import waiting
from support.processes import cannot_run, program

UNITS = Path(__file__).parents[2] / "systemd"
UNIT = UNITS / "nozzled.service"
INSTANCE = UNITS / "nozzled@.service"
FRONT = UNITS / "nozzled-front.service"
FRONT_INSTANCE = UNITS / "nozzled-front@.service"
SAFE_OFF = UNITS / "nozzled-safe-off@.service"
POWER, POWER_INSTANCE = UNITS / "nozzled-power.service", UNITS / "nozzled-power@.service"
RELAY = UNITS / "nozzled-relay@.service"
SOCKET = UNITS / "nozzled.socket"
NOTIFY, NOTIFY_INSTANCE = UNITS / "nozzled-notify.service", UNITS / "nozzled-notify@.service"
TIMELAPSE, TIMELAPSE_INSTANCE = UNITS / "nozzled-timelapse.service", UNITS / "nozzled-timelapse@.service"
AGENT, AGENT_INSTANCE = UNITS / "nozzled-farm-agent.service", UNITS / "nozzled-farm-agent@.service"
MQTT, MQTT_INSTANCE = UNITS / "nozzled-mqtt.service", UNITS / "nozzled-mqtt@.service"
FARM, FARM_NATS = UNITS / "nozzled-farm.service", UNITS / "nozzled-farm-nats.service"
CORES, FRONTS = (UNIT, INSTANCE), (FRONT, FRONT_INSTANCE)
EXPOSED = {
    UNIT: 6, INSTANCE: 6, FRONT: 13, FRONT_INSTANCE: 13, SAFE_OFF: 6, POWER: 15, POWER_INSTANCE: 15, RELAY: 8,
    NOTIFY: 13, NOTIFY_INSTANCE: 13,
    TIMELAPSE: 13, TIMELAPSE_INSTANCE: 13, MQTT: 12, MQTT_INSTANCE: 12, AGENT: 12, AGENT_INSTANCE: 12,
    FARM: 13, FARM_NATS: 13,
}  # fmt: skip
"""How exposed each may be, in tenths of systemd's points (0 to 100): at most 2 more than systemd 252 finds."""


@pytest.fixture
def analyze():
    """Return a function that runs systemd-analyze."""
    path_of_analyze = program("systemd-analyze", "systemd")

    def run(*arguments, path=""):
        command = [path_of_analyze, *map(str, arguments)]
        # behind the colon are the system's own units
        environment = {**os.environ, "SYSTEMD_UNIT_PATH": f"{path}:"} if path else None
        return subprocess.run(
            command, capture_output=True, text=True, timeout=waiting.TIMEOUT, check=False, env=environment
        )

    return run


def settings(name: str, unit: Path = UNIT) -> list[str]:
    """Return every value that the unit gives a setting; the file is read as text, comments and all."""
    lines = unit.read_text().splitlines()
    return [value for key, _, value in (line.partition("=") for line in lines) if key == name]


def installed(folder: Path, text: str, unit: Path = UNIT) -> Path:
    """Write the units with existing programs, as the installed ones do not exist where tests run."""
    for each in (*UNITS.glob("*.service"), *UNITS.glob("*.socket")):
        written = text if each == unit else each.read_text()
        (folder / each.name).write_text(
            re.sub(r"/(?:opt|usr/local)/\S+/(?:nozzled|job-type|safe-off|relay|nats-server)\b", "/bin/sh", written)
        )
    return folder / unit.name


@pytest.mark.parametrize("unit", [*EXPOSED, SOCKET], ids=lambda unit: unit.name)
def test_systemd_reads_the_unit_without_a_warning(analyze, tmp_path, unit):
    path = installed(tmp_path, unit.read_text(), unit)
    if "@" in path.name:
        path = path.with_name(path.name.replace("@", "@AB12"))
    verified = analyze("--recursive-errors=no", "verify", path, path=tmp_path)
    assert (verified.returncode, verified.stderr) == (0, "")


def test_a_warning_about_the_unit_would_be_seen(analyze, tmp_path):
    text = UNIT.read_text().replace("RestartSec=0", "RestartSek=0")
    verified = analyze("--recursive-errors=no", "verify", installed(tmp_path, text), path=tmp_path)
    assert verified.returncode != 0
    assert "RestartSek" in verified.stderr


@pytest.mark.parametrize("unit", EXPOSED, ids=lambda unit: unit.name)
def test_the_unit_is_hardened(analyze, unit):
    judged = analyze("security", "--offline=yes", f"--threshold={EXPOSED[unit]}", unit)
    assert judged.returncode == 0, judged.stdout[-200:]


def test_the_core_has_no_network_and_the_front_no_device():
    for unit in CORES:
        assert settings("PrivateNetwork", unit) == ["yes"]
        assert settings("RestrictAddressFamilies", unit) == ["AF_UNIX"]
    for unit in FRONTS:
        assert settings("PrivateDevices", unit) == ["yes"]
        assert settings("DeviceAllow", unit) == []


def test_analyses_may_lower_their_priority():
    for unit in (*FRONTS, FARM):
        allowed = settings("SystemCallFilter", unit)[-1].split()
        assert {"nice", "setpriority"} <= {*allowed}, unit.name


def test_messages_are_sent_by_a_separate_isolated_user():
    for unit in (NOTIFY, NOTIFY_INSTANCE):
        assert settings("DynamicUser", unit) == ["yes"]
        assert settings("PrivateDevices", unit) == ["yes"]
        assert settings("IPAddressDeny", unit) == []
        [folder] = settings("StateDirectory", unit)
        assert folder.startswith("nozzled-companion")
        assert folder.endswith("/notify"), "the process finds its folder by this name"


@pytest.mark.parametrize(
    ("unit", "folder"),
    [
        (MQTT, "nozzled-companion/mqtt"),
        (MQTT_INSTANCE, "nozzled-companion-%i/mqtt"),
        (AGENT, "nozzled-companion/farm"),
        (AGENT_INSTANCE, "nozzled-companion-%i/farm"),
    ],
)
def test_companions_with_network_use_private_networks_and_an_isolated_user(unit, folder):
    assert settings("DynamicUser", unit) == settings("PrivateDevices", unit) == ["yes"]
    assert settings("IPAddressDeny", unit) == ["any"]
    assert settings("StateDirectory", unit) == [folder]


def test_the_farm_server_has_its_state_directory_and_the_key_of_init():
    assert settings("DynamicUser", FARM) == settings("PrivateDevices", FARM) == ["yes"]
    assert settings("StateDirectory", FARM) == [STATE.name]
    assert settings("LoadCredential", FARM) == [f"{SEED_CREDENTIAL}:{FOLDER / SEED}"]
    assert settings("SetCredential", FARM) == [f"{SEED_CREDENTIAL}:{NO_SEED}"]


def test_nats_reads_its_keys_by_their_group():
    assert settings("Group", FARM_NATS) == [GROUP]
    assert f"u {GROUP} " in (UNITS / "nozzled.sysusers").read_text()
    assert settings("StateDirectory", FARM_NATS) == [STORE.name]
    assert settings("ExecStart", FARM_NATS)[0].endswith(f" -c {FOLDER / CONF}")


def test_films_are_readable_by_the_front_and_their_renderer_has_no_device():
    for unit, front_unit in ((TIMELAPSE, FRONT), (TIMELAPSE_INSTANCE, FRONT_INSTANCE)):
        for name in ("User", "Group", "StateDirectory", "StateDirectoryMode", "UMask"):  # else systemd changes owners
            assert settings(name, unit) == settings(name, front_unit)
        assert settings("PrivateDevices", unit) == ["yes"]
        assert settings("DeviceAllow", unit) == []
        assert settings("IPAddressDeny", unit) == ["any"]
        assert settings("OOMPolicy", unit) == ["continue"], "ffmpeg is killed alone"


def test_the_drop_in_allows_a_printer_on_the_network(analyze, tmp_path):
    path = installed(tmp_path, UNIT.read_text())
    (tmp_path / "nozzled.service.d").mkdir()
    (tmp_path / "nozzled.service.d/tcp.conf").write_text((UNITS / "tcp.conf").read_text())
    assert analyze("--recursive-errors=no", "verify", path, path=tmp_path).stderr == ""
    assert (
        settings("IPAddressAllow", FRONT)[0].replace(" multicast", "")
        == settings("IPAddressAllow", UNITS / "tcp.conf")[0]
    )


@pytest.mark.parametrize(
    ("unit", "command"),
    [
        *((unit, core) for unit in CORES),
        *((unit, front) for unit in FRONTS),
        *((unit, power) for unit in (POWER, POWER_INSTANCE)),
        (AGENT, farm),
        (AGENT_INSTANCE, farm),
        (MQTT, mqtt),
        (MQTT_INSTANCE, mqtt),
        (FARM, farm),
        (NOTIFY, notify),
        (NOTIFY_INSTANCE, notify),
        (TIMELAPSE, timelapse),
        (TIMELAPSE_INSTANCE, timelapse),
    ],
    ids=lambda each: getattr(each, "name", ""),
)  # fmt: skip
def test_the_command_line_has_the_options_of_the_unit(unit, command):
    [started] = settings("ExecStart", unit)
    program, name, *arguments = shlex.split(started)
    assert (program, f"daemon.cli.{name}") == ("/opt/nozzled/current/bin/nozzled", command.__name__)
    parser = argparse.ArgumentParser(exit_on_error=False)
    command.arguments(parser)
    assert parser.parse_args(arguments).config.suffix == ".toml"


def test_the_unit_keeps_what_the_service_depends_on():
    assert settings("Type") == ["notify"]
    assert settings("StateDirectory") == ["nozzled"]
    assert settings("Group") == ["dialout"]
    assert settings("RuntimeDirectoryPreserve") == ["restart"]


@pytest.mark.parametrize(("one", "other"), [(UNIT, FRONT), (INSTANCE, FRONT_INSTANCE)])
def test_core_and_front_share_a_state_directory_and_a_socket(one, other):
    switches = other.with_name(other.name.replace("front", "power"))
    for name in ("User", "Group", "StateDirectory", "StateDirectoryMode", "UMask"):  # else systemd changes owners
        assert settings(name, one) == settings(name, other) == settings(name, switches)
    [runtime] = settings("RuntimeDirectory", one)
    assert settings("RuntimeDirectory", other) == [], "systemd would remove it, with the logbook, when the front stops"
    [command] = settings("ExecStart", other)
    socket = core_socket({"RUNTIME_DIRECTORY": f"%t/{runtime}"})
    assert shlex.split(command)[-2:] == ["--core", str(socket)]
    [command] = settings("ExecStart", switches)
    button = stop_socket({"RUNTIME_DIRECTORY": f"%t/{runtime}"}, Path("/state"))
    assert shlex.split(command)[-2:] == ["--stop-socket", str(button)]


def test_only_the_core_stops_being_restarted():
    for unit in EXPOSED:  # the core tries for long, and then leaves the printer to safe-off
        if unit not in (*CORES, SAFE_OFF):
            assert settings("Restart", unit) == ["always"], unit.name
            assert settings("StartLimitIntervalSec", unit) == ["0"], unit.name


@pytest.mark.parametrize(("one", "other"), [(UNIT, FRONT), (INSTANCE, FRONT_INSTANCE)])
def test_the_front_starts_and_stops_with_the_core_but_not_the_reverse(one, other):
    name = other.name.replace("@", "@%i")
    assert settings("Wants", one) == settings("PropagatesReloadTo", one) == [name]
    assert settings("ExecStop", one)[0].split()[-1] == name
    for setting in ("Requires", "BindsTo", "PartOf", "After", "Upholds"):
        assert settings(setting, one) == []
    # PartOf= and the like would restart it whenever the core has crashed, and Wants= start a core that has given up
    for setting in ("Requires", "BindsTo", "Wants", "PropagatesStopTo", "StopWhenUnneeded"):
        assert settings(setting, other) == []
    assert settings("PartOf", other) == ([SOCKET.name] if other == FRONT else [])


def test_nothing_ends_the_front_for_good():
    for unit in FRONTS:
        assert (settings("Restart", unit), settings("RestartSec", unit)) == (["always"], ["100ms"])
        assert settings("StartLimitIntervalSec", unit) == ["0"]
        assert settings("RestartPreventExitStatus", unit) == settings("OnFailure", unit) == []
        assert settings("OOMPolicy", unit) == ["continue"]


def test_only_the_front_gets_the_key():
    for unit in FRONTS:
        assert settings("LoadCredential", unit) == [CREDENTIAL]
    for unit in CORES:
        assert settings("LoadCredential", unit) == []


def test_the_folder_of_avahi_is_writable_and_optional():
    for unit in FRONTS:
        assert settings("ReadWritePaths", unit) == [f"-{DiscoveryConfig().avahi_services}"]


def test_restarts_are_immediate_and_limited_and_end_in_safe_off():
    assert (settings("Restart"), settings("RestartSec")) == (["always"], ["0"])
    assert (settings("StartLimitIntervalSec"), settings("StartLimitBurst")) == (["30"], ["10"])
    assert settings("OnFailure") == ["nozzled-safe-off@%N.service"]
    assert settings("RestartPreventExitStatus") == [str(EXIT_GAVE_UP)]


def test_nothing_that_would_end_the_print_runs_after_a_crash():
    for unit in CORES:
        assert settings("ExecStopPost", unit) == []
        assert settings("ExecStartPre", unit) == []
        assert settings("BindsTo", unit) == []


def test_the_stop_timeout_allows_for_heaters_off():
    [seconds] = settings("TimeoutStopSec")
    assert int(seconds) >= HEATERS_OFF_TIMEOUT + 5, "SIGKILL must not come before the heaters are off"


@pytest.mark.parametrize("units", [CORES, FRONTS, (POWER, POWER_INSTANCE)], ids=["core", "front", "power"])
def test_units_of_one_of_several_printers_match_those_of_the_only_one(units):
    """Apart from its names, its condition, and the socket that the only one has."""
    differs = {
        "Description", "ConditionPathExists", "ExecStart", "ExecStop", "StateDirectory", "RuntimeDirectory", "Wants",
        "PropagatesReloadTo", "PartOf", "After",
    }  # fmt: skip

    def alike(unit):
        lines = [line for line in unit.read_text().splitlines() if line and not line.startswith("#")]
        return [line for line in lines if line.partition("=")[0] not in differs]

    one, many = units
    assert alike(one) == alike(many)


def test_the_socket_has_the_name_that_the_daemon_expects():
    assert settings("FileDescriptorName", SOCKET) == [HTTP]
    assert settings("Service", SOCKET) == [FRONT.name]
    [address] = settings("ListenStream", SOCKET)
    assert address == f"{HttpConfig().host}:{HttpConfig().port}"


def test_the_job_type_is_written_where_the_daemon_reads_it():
    [command] = settings("ExecStop")
    assert command == "+/usr/local/lib/nozzled/job-type %n %t/nozzled nozzled-front.service"
    assert settings("RuntimeDirectory") == ["nozzled"]
    assert f'"$2/{JOB_TYPE}"' in (UNITS / "job-type").read_text()


def test_the_udev_rule_starts_the_instance_and_names_its_port():
    rule = (UNITS / "70-nozzled.rules").read_text()
    assert 'SYMLINK+="printer/$env{NOZZLED_PRINTER}"' in rule
    assert 'TAG+="systemd", ENV{SYSTEMD_WANTS}+="nozzled@$env{NOZZLED_PRINTER}.service"' in rule
    assert "--printer serial:/dev/printer/%i" in INSTANCE.read_text()
    shared = re.search(r'ENV\{ID_SERIAL_SHORT\}!="([^"]+)"', rule)[1].split("|")
    assert "0001" in shared, "a serial number that all boards with a CP2102 share names none of them"
    gotos = set(re.findall(r'GOTO="(\w+)"', rule))
    assert gotos == set(re.findall(r'LABEL="(\w+)"', rule))


@pytest.mark.parametrize("name", ["install", "uninstall"])
def test_without_root_or_systemd_the_installation_is_refused(name):
    if os.geteuid() == 0 and Path("/run/systemd/system").is_dir():
        cannot_run("root would install it here, where systemd runs")
    result = subprocess.run([UNITS / name], capture_output=True, text=True, timeout=waiting.TIMEOUT, check=False)
    assert result.returncode == 1
    assert "root" in result.stderr or "not started by systemd" in result.stderr
    assert result.stdout == ""


def test_no_instance_stays_enabled_when_the_program_is_removed(tmp_path):
    """Else a new installation would start it at the next boot."""
    loop = re.search(r"^for unit in .*?^done$", (UNITS / "uninstall").read_text(), re.MULTILINE | re.DOTALL)[0]
    wants = tmp_path / "multi-user.target.wants"
    wants.mkdir()
    for unit in ("nozzled-relay@printer", "nozzled@mk3", "nozzled-mqtt@a.b", "nozzled-relays-of-mine@x", "other"):
        (wants / f"{unit}.service").symlink_to(f"../{unit}.service")
    subprocess.run(["/bin/sh", "-euc", loop.replace("/etc/systemd/system", str(tmp_path))], check=True)
    assert {each.name for each in wants.iterdir()} == {"nozzled-relays-of-mine@x.service", "other.service"}


def test_the_services_may_read_what_is_installed_whatever_roots_umask_is():
    installer = re.sub(r"^ *#.*|(?<= )# .*", "", (UNITS / "install").read_text(), flags=re.MULTILINE)
    first = min(installer.index(each) for each in ("mkdir", "-m venv", "install -", ">/etc"))
    assert installer.index("\numask 022") < first


@pytest.mark.parametrize("name", COMPANIONS)
def test_an_update_restarts_each_companion(name):
    installer = (UNITS / "install").read_text().replace("\\\n", " ")
    restarted = " ".join(re.findall(r"systemctl try-restart (.*)", installer)).split()
    assert f"{unit_of(name)}.service" in restarted
    assert f"'{unit_of(name)}@*.service'" in restarted


def test_documentation_named_in_units_is_installed():
    pages = re.findall(r"^for page in ([a-z ]+); do", (UNITS / "install").read_text(), re.MULTILINE)
    name = re.compile(r"^Documentation=file:/usr/local/share/doc/nozzled/([a-z]+)\.md$", re.MULTILINE)
    named = {page for unit in EXPOSED for page in name.findall(unit.read_text())}
    assert named == {*pages[0].split()}
    assert all((UNITS.parent / "docs" / f"{page}.md").exists() for page in named)


def test_the_installer_refuses_options_that_it_does_not_know():
    result = subprocess.run(
        [UNITS / "install", "--whels"], capture_output=True, text=True, timeout=waiting.TIMEOUT, check=False
    )
    assert result.returncode == 1
    assert "--wheels FOLDER" in result.stderr


@pytest.mark.parametrize(
    "unit",
    [
        *UNITS.glob("nozzled-mqtt*"),
        *UNITS.glob("nozzled-farm*"),
        *UNITS.glob("nozzled-notify*"),
        *UNITS.glob("nozzled-timelapse*"),
        POWER,
        POWER_INSTANCE,
        RELAY,
    ],
    ids=lambda unit: unit.name,
)
def test_units_not_enabled_by_the_installer_can_be_enabled(unit):
    assert settings("WantedBy", unit) == ["multi-user.target"]
