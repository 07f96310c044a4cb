"""A farm in real processes: NATS, the farm's server, and a service and an agent for each printer; each may be killed.

The number of prints is taken from the simulated printers and the records of their services, not from the farm's list.
"""

import http.client
import io
import json
import os
import random
import signal
import sqlite3
import time
from collections import Counter
from contextlib import closing, redirect_stdout, suppress

import msgspec

from daemon.cli import main
from daemon.farm.nats_server.folder import NatsFolder
from support.nats import FarmServerProcess, NatsProcess
from support.processes import NOZZLED, TIMEOUT, TOKEN, Child, SimulatedPrinter, free_port, until

FINAL_STATES = ("done", "failed", "cancelled")
POLL = 1.0  # s
CONFIG = """
[printer]
address = "{address}"
retry_s = 0.5
[http]
port = {port}
[paths]
state_dir = "{state}"
[job]
heat_up = "firmware"
[analysis]
enabled = false
[safety]
dead_man_min = 0
[discovery]
mdns = false
[metrics]
open_to = ["127.0.0.1"]
"""


def part(number, moves):
    """Return the file of a job: it heats, makes moves of a tenth of a second, and turns the heaters off."""
    lines = [f"M117 begins {number}", "M140 S40", "M104 S50"]
    lines += [f"G1 X{each % 2 * 10} Y{each} F6000" for each in range(moves)]
    lines += ["M104 S0", "M140 S0", f"M117 ends {number}", "; prusaslicer_config = begin"]
    return "\n".join(lines).encode() + b"\n"


class FleetPrinter:
    """A simulated printer with its service and its agent; the printer itself is never killed."""

    def __init__(self, folder, name, enrolment, speed, more=""):
        folder.mkdir()
        self.folder, self.name, self.state = folder, name, folder / "state"
        self.simulated = SimulatedPrinter(folder, speed, folder / "port")
        self.port = free_port()
        self._config = folder / "nozzled.toml"
        (folder / "enrolment").write_bytes(msgspec.json.encode(enrolment))
        with redirect_stdout(io.StringIO()) as section:
            assert main(["farm", "join", str(folder / "enrolment"), "--config", str(self._config)]) == 0
        config = CONFIG.format(address=self.simulated.address, port=self.port, state=self.state)
        self._config.write_text(config + section.getvalue() + more)
        self._logs = 0
        self.service = self.agent = self.mqtt = None
        self.start_service()

    def _child(self, name, *command):
        self._logs += 1
        log = self.folder / f"{name}-{self._logs}.log"
        return Child([NOZZLED, *command, "--config", self._config], log, NOZZLED_API_KEY=TOKEN)

    def start_service(self):
        self.service = self._child("service", "serve")

    def start_agent(self):
        self.agent = self._child("agent", "farm", "agent")

    def start_mqtt(self):
        self.mqtt = self._child("mqtt", "mqtt", "serve")

    def until_ready_for_agent(self):
        until((self.state / "companions/farm.key").exists, f"the key of {self.name}'s agent")

    def kill_agent(self):
        self.agent.end()
        self.start_agent()

    def kill_front(self):
        """Kill the front; the core starts another."""
        started = [line for line in self.service.output().splitlines() if '"front.started"' in line]
        with suppress(ProcessLookupError):
            os.kill(json.loads(started[-1])["pid"], signal.SIGKILL)

    def kill_service(self):
        """Kill the core, and with it the front."""
        self.service.end()
        self.start_service()

    def ask(self, path):
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)) as connection:
            connection.request("GET", path, headers={"X-Api-Key": TOKEN})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"null")

    def recorded(self):
        """Return the prints in the service's database: key, whether it began, and its outcome."""
        with closing(sqlite3.connect(f"file:{self.state / 'nozzled.db'}?mode=ro", uri=True)) as db:
            return db.execute("SELECT key, began, outcome FROM jobs WHERE key IS NOT NULL").fetchall()

    def accepted(self, word):
        """Return how often the file of each job began, or ended, on the printer."""
        texts = [line.removeprefix(f"M117 {word} ") for line in self.simulated.accepted() if line.startswith("M117 ")]
        return Counter(text for text in texts if text.isdecimal())

    def heating(self):
        """Return the heaters whose last target is not 0, with that target."""
        targets = {}
        for line in self.simulated.accepted():
            for command in ("M104", "M109", "M140", "M190"):
                if line.startswith(f"{command} S"):
                    targets["bed" if command in ("M140", "M190") else "hotend"] = float(line[6:].split()[0])
        return {name: target for name, target in targets.items() if target}

    def close(self):
        for child in (self.mqtt, self.agent, self.service, self.simulated):
            if child is not None:
                child.end()


class Fleet:
    """The whole farm."""

    def __init__(self, folder, count, *, speed=4.0, seed=0, broker=None):
        self.folder, self.count, self._speed, self._broker = folder, count, speed, broker
        self.chance = random.Random(seed)
        self.printers, self.jobs = [], {}
        self.killed = Counter()
        self.nats = self.server = None
        self._cleared = {}

    def start(self):
        nats_folder = NatsFolder(self.folder / "nats")
        self.folder.mkdir(exist_ok=True)
        nats_folder.init(["127.0.0.1"], free_port(), self.folder / "store")
        self.nats = NatsProcess(nats_folder.path, None)
        port = self.nats.port
        self._nats_config = (
            f'ca_file = "{nats_folder.path / "ca.pem"}"\nseed_file = "{nats_folder.path / "server.seed"}"\n'
        )
        for number in range(self.count):
            enrolment = nats_folder.enrol(f"p{number}")
            enrolment = msgspec.structs.replace(enrolment, servers=[f"tls://127.0.0.1:{port}"])
            name, more = f"p{number}", ""
            if self._broker is not None:
                more = f'[mqtt]\nhost = "127.0.0.1"\nport = {self._broker}\nid = "{name}"\n'
            self.printers.append(FleetPrinter(self.folder / name, name, enrolment, self._speed, more))
        nats_folder.reload()
        self.nats.reload()
        self.start_server()
        for printer in self.printers:
            printer.until_ready_for_agent()
            printer.start_agent()
            if self._broker is not None:
                printer.start_mqtt()
        return self

    def start_server(self):
        self.server = FarmServerProcess(self.folder / "server", f"tls://127.0.0.1:{self.nats.port}", self._nats_config)

    def submit(self, number, copies, moves=40):
        job = self.server.upload(f"part-{number}.gcode", part(number, moves), copies=copies)
        self.jobs[job["id"]] = number
        return job

    # -- kills ------------------------------------------------------------------------------------------------------

    def kill_server(self):
        self.server.end()
        self.start_server()

    def kill_nats(self):
        self.nats.stop()
        self.nats.start()

    def kill(self, what, printer=None):
        """Kill a part; `printer` is one of those that print, if any do."""
        self.killed[what] += 1
        if what in ("server", "nats"):
            getattr(self, f"kill_{what}")()
            return
        chosen = printer or self.chance.choice(self.printers)
        getattr(chosen, f"kill_{what}")()

    # -- users -------------------------------------------------------------------------------------------------------

    def ask(self, method, path, body=None):
        """Return the answer of the farm's server; None if there is none."""
        with suppress(OSError, http.client.HTTPException, ValueError):
            status, answer = self.server.ask(method, path, body)
            return answer if status < 300 else None
        return None

    def copies(self):
        """Return all copies on the farm's list; None if it does not answer."""
        copies = []
        for job in self.jobs:
            if (answer := self.ask("GET", f"/jobs/{job}")) is None:
                return None
            copies += answer["copy_list"]
        return copies

    def clear_beds(self):
        """Clear all beds, as a user does who walks through the room."""
        listed = self.ask("GET", "/printers") or {"printers": []}
        for printer in listed["printers"]:
            if "bed is clear" in printer.get("reason", ""):
                self.ask("POST", f"/printers/{printer['id']}/bed_clear")

    def printing(self):
        """Return the printers that print a copy."""
        listed = self.ask("GET", "/printers") or {"printers": []}
        names = {each["id"] for each in listed["printers"] if each.get("copy_state") == "printing"}
        return [printer for printer in self.printers if printer.name in names]

    def run(self, seconds, kills=()):
        """Wait until all copies have ended; return them.

        Args:
            seconds: until this fails.
            kills: (number of ended copies, what to kill then).
        """
        end, kills = time.monotonic() + seconds, [*kills]
        while True:
            assert time.monotonic() < end, f"waited {seconds:g} s in vain: {self.summary()}"
            self.clear_beds()
            copies = self.copies()
            if copies is not None:
                over = sum(copy["state"] in FINAL_STATES for copy in copies)
                for _, what in [each for each in kills if over >= each[0]]:
                    printing = self.printing()  # a printing one, if any
                    self.kill(what, self.chance.choice(printing) if printing else None)
                kills = [each for each in kills if over < each[0]]
                if over == len(copies):
                    assert not kills, kills
                    return copies
            time.sleep(POLL)

    def summary(self):
        """Return copies and printers, for a farm that makes no progress."""
        copies = [(copy["number"], copy["state"], copy["printer"], copy["reason"]) for copy in self.copies() or ()]
        listed = (self.ask("GET", "/printers") or {"printers": []})["printers"]
        return copies, [(each["id"], each["reason"], each["state"], each["away"]) for each in listed]

    def close(self):
        for printer in self.printers:
            printer.close()
        if self.server is not None:
            self.server.end()
        if self.nats is not None:
            self.nats.stop()


def verify(fleet, copies):
    """Return where the farm's list contradicts the printers and their services, and copies that were printed twice."""
    wrong = []
    recorded = [(printer, *row) for printer in fleet.printers for row in printer.recorded()]
    begun = Counter(key.rpartition(".")[0] for _, key, began, _ in recorded if began)
    completed = Counter(key.rpartition(".")[0] for _, key, began, outcome in recorded if outcome == "COMPLETED")
    wrong += [f"copy {copy} has begun {times} times" for copy, times in begun.items() if times > 1]
    # A printer restarts when its killed service opens the port again. By then it may have accepted the whole file.
    interrupted = Counter(key.rpartition(".")[0] for _, key, _, outcome in recorded if outcome == "INTERRUPTED")
    if interrupted.total() > fleet.killed["service"]:
        wrong.append(f"{interrupted.total()} prints were interrupted by {fleet.killed['service']} kills of a service")
    known = {copy["id"]: copy for copy in copies}
    wrong += [f"copy {copy} was printed and is on no list" for copy in begun if copy not in known]
    for copy in copies:
        times = completed[copy["id"]]
        if copy["state"] == "done" and times != 1:
            wrong.append(f"the list says that {copy['id']} is done, the printers {times} times")
        if copy["state"] != "done" and (times or not copy["reason"]):
            wrong.append(
                f"the list says {copy['state']} ({copy['reason']}) of {copy['id']}, the printers {times} times"
            )
    begins, ends = Counter(), Counter()
    for printer in fleet.printers:
        begins += printer.accepted("begins")
        ends += printer.accepted("ends")
        if heating := printer.heating():
            wrong.append(f"{printer.name} heats: {heating}")
    for job, number in fleet.jobs.items():
        mine = [copy for copy in copies if copy["job"] == job]
        done = sum(copy["state"] == "done" for copy in mine)
        at_most = done + sum(interrupted[copy["id"]] for copy in mine)
        if begins[str(number)] > len(mine) or not done <= ends[str(number)] <= at_most:
            wrong.append(
                f"job {number}: {done} of {len(mine)} done, begun {begins[str(number)]}, to the end {ends[str(number)]}"
            )
    return wrong
