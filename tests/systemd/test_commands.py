"""The commands in docs/ for an installed service are run on a real systemd; each has to succeed."""

import pytest

from support import systemd_box
from support.command_blocks import Block, blocks
from support.processes import cannot_run
from support.systemd_box import PORT, BoxPrinter

# There is no network for apt-get; other tests run make install; an editor waits for its user; journalctl -f never ends.
PREAMBLE = """
set -eu
export USER=root
sudo() { "$@"; }
apt-get() { :; }
make() { [ "$*" = install ]; }
nano() { [ -w "$1" ]; }
journalctl() { command journalctl --no-pager --quiet "${@/#-f/--no-hostname}" >/dev/null; }
# waits until services have started, as a user who types the next command does
settle() {
    for _ in $(seq 100); do
        systemctl list-units --state=activating 'nozzled-front*' 'nozzled@*' nozzled.service | grep -q ' nozzled' ||
            return 0
        sleep 0.1
    done
}
"""

AFTER = """
systemctl stop 'nozzled@*' 'nozzled-front@*'
systemctl enable --now nozzled.socket nozzled 2>/dev/null
settle
"""

CONFIG = """
[notify]
[timelapse]
[mqtt]
host = "127.0.0.1"
username = "mk3"
[power]
[[power.devices]]
name = "lamp"
type = "command"
on_command = ["/usr/bin/true"]
off_command = ["/usr/bin/true"]
"""

MAY_FAIL = {
    "nozzled mqtt status": "there is no broker",
    "nozzled-relay@printer": "there is no GPIO chip",
    "nozzled-mqtt": "aiomqtt is not among the wheels",
    "nozzled doctor": "it finds problems in the box",
    "nozzled-safe-off@*": "no printer had to be made safe",
}

STANDS_FOR = {"20261122-133535": "$(ls /opt/nozzled | head -1)"}


@pytest.fixture
def box(tmp_path):
    try:
        with systemd_box.booted(tmp_path / "box") as box:
            systemd_box.bring_checkout(box)
            yield box
    except systemd_box.CannotRun as error:
        cannot_run(str(error))


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_commands_of_an_installed_service_succeed(box):
    systemd_box.configure(box, CONFIG)
    systemd_box.install(box)
    BoxPrinter(box, speed=50)
    box.shell(f"mkdir -p /dev/printer; for each in AH02X9 BK71C3; do ln -sfn {PORT} /dev/printer/$each; done")
    wrong = [failed for block in blocks() if block.mark == "run in the box" and (failed := _run(box, block))]
    assert not wrong, "\n\n".join(wrong)


def _run(box: systemd_box.Box, block: Block) -> str:
    """Run a block; return the error, or nothing."""
    script = block.script
    for words, meaning in STANDS_FOR.items():
        script = script.replace(words, meaning)
    lines = [f"{line} || true" if any(each in line for each in MAY_FAIL) else line for line in script.splitlines()]
    # the lines of a here-document are not commands
    typed = "\n".join(lines) if "<<'" in script else "\nsettle\n".join(lines)
    try:
        after = AFTER if "nozzled@" in script else ""
        box.run("timeout", "120", "bash", "-c", f"{PREAMBLE}settle\n{typed}\n{after}", seconds=150)
    except systemd_box.Failed as error:
        return f"{block.place}: {error}"
    return ""
