"""The folder of a farm's engine: what `nozzled farm init` makes, and `enrol` and `revoke` change."""

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
from daemon.farm.engine import certificates
from daemon.farm.engine.users import Enrolment, NatsUser, make_key, render_users
from daemon.private_file import write_private

CONF, USERS, KNOWN, SEED, PID = "nats.conf", "users.conf", "farm.json", "server.seed", "nats.pid"
GROUP = "nozzled-farm"
PROGRAM = "nats-server"
SERVER = "server"
HUB, HUB_CA = "hub", "hub-ca.pem"
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.:-]{0,250}[A-Za-z0-9])?")
_GROUP = re.compile(r"[\w .-]{0,60}")


class EngineFacts(msgspec.Struct, kw_only=True):
    """What the folder is about; in farm.json.

    Attributes:
        hosts: names and addresses under which printers reach NATS.
        store: where NATS keeps its streams.
        domain: of its JetStream, where there are sites.
        pid_file: of NATS.
    """

    hosts: list[str]
    port: int
    leaf_port: int = 0
    store: str
    domain: str = HUB
    pid_file: str
    users: list[NatsUser] = []


class EngineFolder:
    """The folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def init(
        self, hosts: Sequence[str], port: int, store: Path, *, leaf_port: int = 0, hub: Enrolment | None = None
    ) -> EngineFacts:
        """Make everything.

        Args:
            hosts: names and addresses under which printers reach NATS.
            port: of NATS.
            store: where it keeps its streams.
            leaf_port: where other sites connect; 0: there are none.
            hub: for a site, what the hub has made for it.

        Raises:
            ConfigError: something cannot be, or there is a farm already.
        """
        if (self.path / KNOWN).exists():
            raise ConfigError(f"{self.path} has a farm already: init makes a new one in an empty folder only")
        for host in hosts:
            if not _HOST.fullmatch(host):
                raise ConfigError(f"{host[:60]!r} cannot be the name or address of a computer")
        hosts = [*dict.fromkeys((*hosts, "localhost", "127.0.0.1"))]
        try:
            self.path.mkdir(mode=0o755, parents=True, exist_ok=True)  # the certificate in it is for all
            store.mkdir(mode=0o700, parents=True, exist_ok=True)  # NATS does not begin without a place for its pid
            certificates.make_authority(self.path, f"nozzled farm at {hosts[0]}"[:64])
            self.make_certificate(hosts)
            seed, public = make_key()
            write_private(self.path / SEED, seed + "\n", replace=True)
            facts = EngineFacts(
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
            self._write(CONF, _conf(self.path, facts, hub))
            self._write_users(facts)
        except OSError as error:
            raise ConfigError(f"{error.filename or self.path}: {error.strerror or error}") from error
        return facts

    def make_certificate(self, hosts: Sequence[str]) -> None:
        """Make NATS a new certificate; it is used after a reload."""
        certificates.make_certificate(self.path, hosts)
        for name in (certificates.KEY, certificates.CERTIFICATE):
            self._share(self.path / name, 0o640)
        (self.path / certificates.CA).chmod(0o644)

    def facts(self) -> EngineFacts:
        """Return what was written; raises ConfigError."""
        try:
            return msgspec.json.decode((self.path / KNOWN).read_bytes(), type=EngineFacts)
        except OSError as error:
            raise ConfigError(
                f"{self.path / KNOWN}: {error.strerror} (`nozzled farm init` makes it; --folder names another place)"
            ) from error
        except msgspec.MsgspecError as error:
            raise ConfigError(f"{self.path / KNOWN}: not what `nozzled farm init` writes: {error}") from error

    def enrol(self, name: str, group: str = "", *, again: bool = False, role: str = "printer") -> Enrolment:
        """Let a printer, or a site, in; return what is carried there. With `again`, a key that it has ends.

        Raises:
            ConfigError: the name cannot be, or is taken.
        """
        if not is_printer(name):
            raise ConfigError(f"{name[:60]!r} cannot be an id: use a-z, 0-9 and -, 32 characters at most")
        if not _GROUP.fullmatch(group):
            raise ConfigError(f"{group[:60]!r} cannot be a group of printers: letters, digits, blank, . and -")
        facts = self.facts()
        known = [user for user in facts.users if user.role != SERVER and user.name == name]
        if known and not again:
            raise ConfigError(f"{name} is enrolled already: --again makes a new key, and ends the one that it has")
        if role == "site" and not facts.leaf_port:
            raise ConfigError("this farm was made without sites: `nozzled farm init --sites` makes one with them")
        seed, public = make_key()
        facts.users = [user for user in facts.users if user not in known]
        made = NatsUser(name=name, role="site" if role == "site" else "printer", nkey=public, group=group)
        facts.users.append(made)
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
        """Let it in no more; raises ConfigError where it is not known."""
        facts = self.facts()
        rest = [user for user in facts.users if user.role == SERVER or user.name != name]
        if len(rest) == len(facts.users):
            known = ", ".join(user.name for user in facts.users if user.role != SERVER) or "nobody"
            raise ConfigError(f"{name[:60]!r} is not enrolled; enrolled are: {known}")
        facts.users = rest
        self._save(facts)

    def reload(self) -> str:
        """Have a NATS that runs read its users again; return why that cannot be, or nothing."""
        path = Path(self.facts().pid_file)
        try:
            pid = int(path.read_text("ascii"))
            named = (Path("/proc") / str(pid) / "comm").read_text("utf-8").strip()
        except (OSError, ValueError):
            return "NATS does not run here: it reads its users when it starts"
        if named != PROGRAM:
            return f"process {pid} is {named}, not {PROGRAM}: it reads its users when it starts"
        try:
            os.kill(pid, signal.SIGHUP)
        except OSError as error:
            return f"NATS was not told: {error.strerror} (sudo systemctl reload nozzled-farm-nats)"
        return ""

    # -- files -------------------------------------------------------------------------------------------------------

    def _save(self, facts: EngineFacts) -> None:
        try:
            self._write_users(facts)
        except OSError as error:
            raise ConfigError(f"{error.filename or self.path}: {error.strerror or error}") from error

    def _write_users(self, facts: EngineFacts) -> None:
        """Write both: the list that we read first, as a key in users.conf alone could not be revoked."""
        self._write(KNOWN, msgspec.json.format(msgspec.json.encode(facts).decode()))
        self._write(USERS, render_users(facts.users))

    def _write(self, name: str, text: str) -> None:
        write_private(self.path / name, text, replace=True)
        self._share(self.path / name, 0o640)

    def _share(self, path: Path, mode: int) -> None:
        """Let NATS read it, which runs in a group of its own where its unit is installed."""
        with suppress(KeyError, PermissionError):
            os.chown(path, -1, grp.getgrnam(GROUP).gr_gid)
            path.chmod(mode)


def _conf(folder: Path, facts: EngineFacts, hub: Enrolment | None) -> str:
    """Return NATS' configuration."""
    tls = (
        f'{{ cert_file: "{folder / certificates.CERTIFICATE}", key_file: "{folder / certificates.KEY}", '
        'min_version: "1.2", timeout: 5 }'
    )
    leaf = f"leafnodes {{ port: {facts.leaf_port}, tls: {tls} }}\n" if facts.leaf_port else ""
    if hub is not None:
        urls = ", ".join(f'"{each}"' for each in hub.servers)
        leaf = f"""# The hub: this site connects to it, and it to nobody here.
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
  # A write is confirmed once it is on the disk. The default, each two minutes, loses some at a power cut.
  sync_interval: always
}}

# What one of them may cost the others.
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
