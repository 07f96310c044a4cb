"""Every command in README and docs/ is run: beside a service, on a real systemd, or by the test its block names."""

import argparse
import asyncio
import http.client
import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from daemon import cli
from support import forked_nozzled
from support.command_blocks import PAGES, ROOT, Block, blocks
from support.processes import CONFIG, NOZZLED, Child, environment, free_port, program, until
from support.recordings import RecordedPrinter

BLOCKS = blocks()
HERE = [block for block in BLOCKS if not block.mark]
SLOW = ("nozzled serve", "hal.simulated", "inspect", "resume-at", "pytest ")  # they import NumPy, or do not end
SERVICES = ("http://127.0.0.1:5000", "http://printer.local:5000")
DAEMONS = ("nozzled serve", "hal.simulated")
NOT_RUN = 11  # blocks; lower it when you find a way to run one


def test_each_command_is_run_or_has_a_reason_why_not():
    marked = {mark: [block for block in BLOCKS if block.mark == mark] for mark in ("run by", "not run")}
    assert len(HERE) > 25
    assert len(marked["not run"]) <= NOT_RUN
    for block in marked["not run"]:
        assert len(block.because.split()) >= 3, block.place
    for block in marked["run by"]:
        path, _, name = block.because.partition("::")
        assert f"def {name}(" in (ROOT / path).read_text("utf-8"), block.place


# -- beside a service --------------------------------------------------------------------------------------------

PREAMBLE = r"""
set -eu
export KEY
KEY=$(cat "$XDG_STATE_HOME/nozzled/api-key")
say() { command curl -sS -H "X-Api-Key: $(cat "$XDG_STATE_HOME/nozzled/api-key")" "$@"; }
# waits until a change of the print is over, as a user who types the next command does
settle() {
    for _ in $(seq 600); do
        case $(say "$URL/api/job" | tr -d ' \n') in
            *'"state":"Pausing'* | *'"state":"Resuming'* | *'"state":"Cancelling'* | *'"state":"Starting'*) ;;
            *'"state":'*) return ;; # otherwise nozzled does not know a new key yet
        esac
        sleep 0.05
    done
}
sudo() { "$@"; }
nozzled() { command nozzled "$@" || [ "$1 $?" = "doctor 1" ]; } # doctor may find problems of this machine
curl() { command curl -sS --fail-with-body "$@"; }
sleep() { command sleep 0.1; }
serving() { # starts a daemon and waits until it is ready; it is killed at the end
    log=$(mktemp -p "$PWD")
    XDG_STATE_HOME="$(mktemp -d -p "$PWD")" NOZZLED_CONFIG="$PWD/second.toml" "$@" >"$log" 2>&1 &
    for _ in $(seq 1200); do
        grep -qE -- '->|listening|http\.listening' "$log" && { serving="${serving-} $!"; return; }
        kill -0 $! || { cat "$log"; return 1; }
        command sleep 0.05
    done
    return 1
}
trap 'code=$?; [ -z "${serving-}" ] || kill $serving; wait; exit $code' EXIT
"""

BEFORE = {
    "CONTRIBUTING.md": "git init --quiet",
    "docs/access.md": """
        say "$URL/plugin/appkeys/request" -H 'Content-Type: application/json' -d '{"app": "OctoApp"}'""",
    "docs/queue.md": 'say -F file=@cube20.gcode -F path=parts -F filename=cube.gcode "$URL/api/files/local"',
    "docs/clients.md": 'say -F file=@cube20.gcode "$URL/api/files/local"',
    "docs/analysis.md": "serving python -m hal.simulated --pty ttyACM0 --speed 20",
    "docs/safety.md": """
        nozzled files upload --print part.gcode
        until say $URL/api/job | jq -e '.progress.completion > 20'; do sleep; done
        nozzled job cancel
        settle""",
    "docs/simulator.md": """printf '[[fault]]\\nwhat = "flip"\\nprobability = 0.0001\\n' >bad-cable.toml""",
}
"""Page → commands that make the state in which its commands are typed."""

AFTER = """
settle
nozzled queue clear
say -X POST -H 'Content-Type: application/json' -d '{"command": "cancel"}' "$URL/api/job"
settle
"""
"""Ends what the commands of a page have begun."""

STANDS_FOR = {
    "session-….jsonl.gz": "session-*.jsonl.gz",
    "NOZZLED_API_KEY=…": "NOZZLED_API_KEY=$KEY",
    "4be1c1c0d5a3f2e7": "$(nozzled keys requests | cut -d' ' -f1)",
    "paste-the-key": "$KEY",
    "/home/pi/.octoprint": str(ROOT / "tests/data/octoprint"),
    "NOZZLED_CONFORMANCE_KEY=…": "NOZZLED_CONFORMANCE_KEY=$KEY",
    "pytest tests/conformance": f"pytest -q -n0 -c {ROOT}/pyproject.toml {ROOT}/tests/conformance",
    "/tmp/printer": "$PWD/printer",
    "python -m": f"{sys.executable} -m",
    "127.0.0.1:8080": "127.0.0.1:0",
    "/dev/ttyACM0": "$PWD/ttyACM0",
    "--height 23.4": "--yes --height 12.4",
    "--layer 118": "--yes --layer 40",
    "--line 48211": "--yes --line 3000",
    "nozzled resume-at ": "nozzled resume-at --yes ",
}
"""Words that a reader replaces by their own → the replacement; `--yes` is the reader's answer to a question."""


@dataclass
class Scene:
    """A folder with the files of the clone, and a service with the simulated printer."""

    folder: Path
    url: str
    variables: dict[str, str]

    def run(self, page: str, scripts: list[str]) -> str:
        """Run the commands of a page; return the error, or nothing."""
        script = "\n".join([BEFORE.get(page, ""), *map(self._typed, scripts), AFTER])
        (self.folder / "script").write_text(f"{PREAMBLE}set -x\n{script}")
        with (self.folder / "output").open("w+") as output:
            code = subprocess.run(
                ["timeout", "100", "bash", "script"], cwd=self.folder, env=self.variables, stdin=subprocess.DEVNULL,
                stdout=output, stderr=subprocess.STDOUT, check=False,
            ).returncode  # fmt: skip
        return f"{page}: exit code {code}\n{(self.folder / 'output').read_text()[-1500:]}" if code else ""

    def _typed(self, script: str) -> str:
        script = script.replace(".venv/bin/", "")
        for words, meaning in (STANDS_FOR | dict.fromkeys(SERVICES, self.url)).items():
            script = script.replace(words, meaning)
        lines = []
        for line in script.splitlines():
            if any(each in line for each in DAEMONS):
                lines.append(f"serving {line}".replace("serving nozzled", f"serving {NOZZLED}"))
            else:
                lines += [line] if line[:1].isspace() or not line.strip() else [line, "settle"]
        return "\n".join(lines)


@contextmanager
def scene(folder: Path):
    for each in ("curl", "jq", "git"):
        program(each)
    (folder / "examples").mkdir()
    for name in ("examples/cube20.gcode", "cube20.gcode", "cube.gcode", "part.gcode"):
        shutil.copyfile(ROOT / "examples/cube20.gcode", folder / name)
    port = free_port()
    config = folder / "config.toml"
    config.write_text(f"{CONFIG}[http]\nport = {port}\n[discovery]\nmdns = false\n")
    (folder / "second.toml").write_text(f"{CONFIG}[http]\nport = 0\n[discovery]\nmdns = false\n")
    (folder / "bin").mkdir()
    url = f"http://127.0.0.1:{port}"
    variables = environment() | {
        "PATH": f"{folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(folder), "XDG_STATE_HOME": str(folder / "state"), "NOZZLED_CONFIG": str(config), "URL": url,
    }  # fmt: skip
    with forked_nozzled.in_folder(folder / "bin"):
        daemon = Child([NOZZLED, "serve", "--printer", "sim?speed=200"], folder / "daemon.log", **variables)
        try:
            until(lambda: "http.listening" in daemon.output() and _operational(folder, port), "the service", 60)
            yield Scene(folder, url, variables)
        finally:
            daemon.end()


def _operational(folder: Path, port: int) -> bool:
    key = (folder / "state/nozzled/api-key").read_text().strip()
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request("GET", "/api/job", headers={"X-Api-Key": key})
        return json.loads(connection.getresponse().read())["state"] == "Operational"


async def _record(folder: Path) -> None:
    async with RecordedPrinter(folder):
        pass


def test_commands_beside_a_service_succeed(tmp_path):
    asyncio.run(_record(tmp_path))
    with scene(tmp_path) as there:
        wrong = _run(there, [block for block in HERE if not any(each in block.script for each in SLOW)])
    assert not wrong, "\n\n".join(wrong)


@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_slow_commands_beside_a_service_succeed(tmp_path):
    with scene(tmp_path) as there:
        wrong = _run(there, [block for block in HERE if any(each in block.script for each in SLOW)])
    assert not wrong, "\n\n".join(wrong)


def _run(there: Scene, chosen: list[Block]) -> list[str]:
    pages = sorted({block.page for block in chosen})
    results = [there.run(page, [each.script for each in chosen if each.page == page]) for page in pages]
    return [wrong for wrong in results if wrong]


# -- commands in sentences ---------------------------------------------------------------------------------------

_NAMED = re.compile(r"`(?:sudo )?nozzled ([a-z][\w-]*)((?: [^`\n]*)?)`")


def test_commands_named_in_texts_and_messages_exist():
    sources = [*PAGES, *ROOT.glob("daemon/**/*.py"), *ROOT.glob("daemon/front/page/*.mjs")]
    named = {match for path in sources for match in _NAMED.findall(path.read_text("utf-8"))}
    assert len(named) > 80
    wrong = [f"nozzled {command}{words}: {why}" for command, words in sorted(named) if (why := _lacks(command, words))]
    assert wrong == []


@cache
def _parser_of(command: str) -> argparse.ArgumentParser | None:
    return _subcommands(cli._parser(command)).get(command)


def _subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    groups = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
    return dict(groups[0].choices) if groups else {}


def _lacks(command: str, words: str) -> str:
    """Return an error if the command does not know one of its words."""
    if (parser := _parser_of(command)) is None:
        return "there is no such command"
    for word in words.split():
        if actions := _subcommands(parser):
            if word in actions:
                parser = actions[word]
            elif re.fullmatch(r"[a-z-]+", word) and not word.startswith("--"):
                return f"{word} is not one of {', '.join(actions)}"
        if re.fullmatch(r"--[a-z-]+", word) and word not in parser._option_string_actions:
            return f"there is no {word}"
    return ""


def test_targets_of_make_named_in_texts_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = {each for path in PAGES for each in re.findall(r"`(?:sudo )?make ([a-z-]+)[` ]", path.read_text("utf-8"))}
    assert len(named) > 10
    assert named - targets == set()
