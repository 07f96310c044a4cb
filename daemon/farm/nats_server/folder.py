"""The folder of a farm's NATS: `nozzled farm init` makes it; `enrol` and `revoke` change its users."""

import grp
import os
import re
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from daemon.errors import ConfigError
from daemon.farm.carrier.subjects import is_printer
from daemon.farm.nats_server import certificates
from daemon.farm.nats_server.users import Enrolment, NatsUser, make_key, render_users
from daemon.private_file import write_private

CONF, USERS, FACTS, SEED, PID = "nats.conf", "users.conf", "farm.json", "server.seed", "nats.pid"
GROUP = "nozzled-farm"
PROGRAM = "nats-server"
MAX_PORT = 65535
SERVER = "server"
HUB, HUB_CA = "hub", "hub-ca.pem"
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.:-]{0,250}[A-Za-z0-9])?")
_GROUP = re.compile(r"[\w .-]{0,60}")


class NatsFacts(msgspec.Struct, kw_only=True):
    """The facts about a farm's NATS that later commands need; stored in farm.json.

    Attributes:
        hosts: names and addresses under which printers reach NATS.
        port: of NATS.
        leaf_port: where sites connect; 0: there are none.
        store: folder in which NATS stores its streams.
        domain: name of its JetStream, which differs from site to site.
        pid_file: where NATS writes its process id.
        users: all who may connect.
    """

    hosts: list[str]
    port: int
    leaf_port: int = 0
    store: str
    domain: str = HUB
    pid_file: str
    users: list[NatsUser] = []


class NatsFolder:
    """The folder with the configuration, keys and certificates of a farm's NATS."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()  # NATS, and our next command, may run in another folder

    def init(
        self, hosts: Sequence[str], port: int, store: Path, *, leaf_port: int = 0, hub: Enrolment | None = None
    ) -> NatsFacts:
        """Make the folder and everything in it.

        Args:
            hosts: names and addresses under which printers reach NATS.
            port: of NATS.
            store: folder in which NATS stores its streams.
            leaf_port: where sites connect; 0: there are none.
            hub: for a site: the enrolment that the hub has made for it.

        Raises:
            ConfigError: a host or a port is not valid, a file cannot be written, or the folder has a farm already.
        """
        if (self.path / FACTS).exists():
            raise ConfigError(f"{self.path} has a farm already: name an empty folder for a new one")
        for host in hosts:
            if not _HOST.fullmatch(host) or (":" in host and not certificates.is_address(host)):
                raise ConfigError(f"{host[:60]!r} is not a host name or an IP address")
        for number, option in ((port, "--port"), (leaf_port or 1, "--sites")):
            if not 1 <= number <= MAX_PORT:
                raise ConfigError(f"{option} must be from 1 to {MAX_PORT}, not {number}")
        if port == leaf_port:
            raise ConfigError(f"printers and sites need different ports, but --port and --sites are both {port}")
        hosts, store = [*dict.fromkeys((*hosts, "localhost", "127.0.0.1"))], store.absolute()
        try:
            self.path.mkdir(mode=0o755, parents=True, exist_ok=True)  # everybody may read the authority's certificate
            store.mkdir(mode=0o700, parents=True, exist_ok=True)  # NATS only starts if it can write its pid file
            certificates.make_authority(self.path, f"nozzled farm at {hosts[0]}"[:64])
            self.make_certificate(hosts)
            seed, public = make_key()
            write_private(self.path / SEED, seed + "\n", replace=True)
            facts = NatsFacts(
                hosts=hosts,
                port=port,
                leaf_port=leaf_port,
                store=str(store),
                pid_file=str(store / PID),
                domain=hub.id if hub is not None else HUB,
                users=[NatsUser(name=SERVER, role="server", nkey=public)],
            )
            if hub is not None:
                (self.path / HUB_CA).write_text(hub.ca)
            self._write(CONF, _render_conf(self.path, facts, hub))
            self._write_users(facts)
        except OSError as error:
            raise ConfigError(f"{error.filename or self.path}: {error.strerror or error}") from error
        return facts

    def make_certificate(self, hosts: Sequence[str]) -> None:
        """Create a new certificate for NATS, which uses it after a reload; raises ConfigError."""
        certificates.make_certificate(self.path, hosts)
        for name in (certificates.KEY, certificates.CERTIFICATE):
            self._share(self.path / name, 0o640)
        (self.path / certificates.CA).chmod(0o644)

    def read_facts(self) -> NatsFacts:
        """Read the facts; raises ConfigError."""
        try:
            return msgspec.json.decode((self.path / FACTS).read_bytes(), type=NatsFacts)
        except OSError as error:
            raise ConfigError(
                f"{self.path / FACTS}: {error.strerror} (`nozzled farm init` makes it; --folder names another folder)"
            ) from error
        except msgspec.MsgspecError as error:
            raise ConfigError(f"{self.path / FACTS}: not what `nozzled farm init` writes: {error}") from error

    def enrol(self, name: str, group: str = "", *, again: bool = False, role: str = "printer") -> Enrolment:
        """Admit a printer or a site, and return its enrolment.

        Args:
            name: id of the printer or site.
            group: of the printer.
            again: replace the key of a printer or site that is enrolled already.
            role: "printer" or "site".

        Raises:
            ConfigError: the name is not valid, or is enrolled already.
        """
        if not is_printer(name):
            raise ConfigError(f"{name[:60]!r} is not a valid id: use 1 to 32 characters of a-z, 0-9 and -")
        if not _GROUP.fullmatch(group):
            raise ConfigError(f"{group[:60]!r} is not a valid group: use letters, digits, _, space, . and -")
        facts = self.read_facts()
        enrolled = [user for user in facts.users if user.role != SERVER and user.name == name]
        if enrolled and not again:
            raise ConfigError(f"{name} is enrolled already: --again replaces its key by a new one")
        if role == "site" and not facts.leaf_port:
            raise ConfigError("this farm was made without sites: `nozzled farm init --sites` makes one with sites")
        seed, public = make_key()
        facts.users = [user for user in facts.users if user not in enrolled]
        facts.users.append(NatsUser(name=name, role="site" if role == "site" else "printer", nkey=public, group=group))
        self._save(facts)
        port = facts.leaf_port if role == "site" else facts.port
        local = ("localhost", "127.0.0.1")
        hosts = [host for host in facts.hosts if host not in local] or facts.hosts
        return Enrolment(
            id=name,
            group=group,
            servers=[f"tls://{f'[{host}]' if ':' in host else host}:{port}" for host in hosts],
            seed=seed,
            ca=(self.path / certificates.CA).read_text("utf-8"),
        )

    def revoke(self, name: str) -> None:
        """Remove a printer or a site from the users; raises ConfigError if it is not enrolled."""
        facts = self.read_facts()
        others = [user for user in facts.users if user.role == SERVER or user.name != name]
        if len(others) == len(facts.users):
            enrolled = ", ".join(user.name for user in facts.users if user.role != SERVER) or "none"
            raise ConfigError(f"{name[:60]!r} is not enrolled; these are: {enrolled}")
        facts.users = others
        self._save(facts)

    def reload(self) -> str:
        """Make a running NATS read its users again; return why that is impossible; empty: it was done."""
        path = Path(self.read_facts().pid_file)
        try:
            pid = int(path.read_text("ascii"))
            program = (Path("/proc") / str(pid) / "comm").read_text("utf-8").strip()
        except (OSError, ValueError):
            return "NATS is not running here: it will read its users when it starts"
        if program != PROGRAM:
            return f"process {pid} is {program}, not {PROGRAM}: NATS will read its users when it starts"
        try:
            os.kill(pid, signal.SIGHUP)
        except OSError as error:
            return f"cannot make NATS read its users: {error.strerror} (sudo systemctl reload nozzled-farm-nats)"
        return ""

    # -- files -------------------------------------------------------------------------------------------------------

    def _save(self, facts: NatsFacts) -> None:
        try:
            self._write_users(facts)
        except OSError as error:
            raise ConfigError(f"{error.filename or self.path}: {error.strerror or error}") from error

    def _write_users(self, facts: NatsFacts) -> None:
        """Write farm.json before users.conf, because `revoke` cannot find a key that is only in users.conf."""
        self._write(FACTS, msgspec.json.format(msgspec.json.encode(facts).decode()))
        self._write(USERS, render_users(facts.users))

    def _write(self, name: str, text: str) -> None:
        write_private(self.path / name, text, replace=True)
        self._share(self.path / name, 0o640)

    def _share(self, path: Path, mode: int) -> None:
        """Let NATS read a file: if its unit is installed, NATS runs in the group nozzled-farm."""
        with suppress(KeyError, PermissionError):
            os.chown(path, -1, grp.getgrnam(GROUP).gr_gid)
            path.chmod(mode)


def _render_conf(folder: Path, facts: NatsFacts, hub: Enrolment | None) -> str:
    """Return the configuration of NATS."""
    tls = (
        f'{{ cert_file: "{folder / certificates.CERTIFICATE}", key_file: "{folder / certificates.KEY}", '
        'min_version: "1.2", timeout: 5 }'
    )
    leaf = f"leafnodes {{ port: {facts.leaf_port}, tls: {tls} }}\n" if facts.leaf_port else ""
    if hub is not None:
        urls = ", ".join(f'"{each}"' for each in hub.servers)
        leaf = f"""# This site connects to the hub; the hub never connects to this site.
leafnodes {{ remotes: [
  {{ urls: [{urls}], account: FARM, nkey: "{hub.seed}", tls: {{ ca_file: "{folder / HUB_CA}" }} }}
] }}
"""
    return f"""# NATS of a farm of nozzled; written by `nozzled farm init`, and yours to change (docs/farm.md).
server_name: "nozzled-farm-{facts.hosts[0]}"
port: {facts.port}
pid_file: "{facts.pid_file}"
tls: {tls}

jetstream {{
  store_dir: "{facts.store}"
  domain: {facts.domain}
  # A write is confirmed once it is on the disk. The default, every two minutes, loses writes at a power cut.
  sync_interval: always
}}

# Limits, so that no client can slow down the others.
max_payload: 1MB
max_pending: 16MB
max_subscriptions: 1000
write_deadline: "10s"
{leaf}
accounts {{
  FARM {{
    jetstream: enabled
    include "{USERS}"
  }}
  SYS {{}}
}}
system_account: SYS
"""
