"""`nozzled farm serve | init | enrol | revoke | backup`: the farm's server, and the NATS beneath it."""

import argparse
import os
import socket
import time  # noqa: TID251 - as in `serve`: the wall clock is injected from here
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from daemon.cli.remote import printable
from daemon.errors import ConfigError
from daemon.private_file import write_private

if TYPE_CHECKING:
    from daemon.farm.engine.folder import EngineFolder
    from daemon.farm.engine.users import Enrolment

FOLDER = Path("/etc/nozzled-farm")
SYSTEM_FILE = Path("/etc/nozzled-farm.toml")
STORE = Path("/var/lib/nozzled-farm-nats")
PORT, LEAF_PORT = 4222, 7422

Declare = Callable[[argparse.ArgumentParser], None]


def add(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the actions."""
    for name, (text, declare, act) in _ACTIONS.items():
        command = actions.add_parser(name, help=text, description=text)
        declare(command)
        command.set_defaults(act=act, parser=command)


def _of_serve(parser: argparse.ArgumentParser) -> None:
    _of_list(parser)
    parser.add_argument("--host", metavar="H", help="address to listen on (default: as configured)")
    parser.add_argument("--port", type=int, metavar="P", help="TCP port of API and page (default: as configured)")


def _of_list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", type=Path, metavar="F", help="configuration file (default: /etc/nozzled-farm.toml, if there)"
    )
    parser.add_argument(
        "--state", type=Path, metavar="DIR", help="folder of list, keys and cache (default: /var/lib/nozzled-farm)"
    )


def _of_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--folder", type=Path, default=FOLDER, metavar="DIR", help=f"what `init` has made (default: {FOLDER})"
    )


def _of_init(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder",
        type=Path,
        nargs="?",
        default=FOLDER,
        metavar="FOLDER",
        help=f"where they are written (default: {FOLDER})",
    )
    parser.add_argument(
        "--host",
        action="append",
        default=[],
        metavar="H",
        help="name or address under which printers reach this computer; may come again (default: its name, and with "
        ".local)",
    )
    parser.add_argument("--port", type=int, default=PORT, metavar="P", help=f"TCP port of NATS (default: {PORT})")
    parser.add_argument(
        "--store", type=Path, default=STORE, metavar="DIR", help=f"where NATS keeps its data (default: {STORE})"
    )
    parser.add_argument(
        "--sites",
        type=int,
        nargs="?",
        const=LEAF_PORT,
        default=0,
        metavar="PORT",
        help=f"other sites may connect, to this port (default: {LEAF_PORT})",
    )
    parser.add_argument(
        "--hub", type=Path, metavar="FILE", help="for a site: the file that `enrol --site` has made at the hub"
    )


def _of_enrol(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "id", metavar="ID", help="what the printer, or the site, is called: a to z, 0 to 9 and -, 32 at most"
    )
    parser.add_argument(
        "--group", default="", metavar="G", help="group that the printer is in, for jobs that ask for one"
    )
    parser.add_argument("--again", action="store_true", help="make a new key; the one that it has ends")
    parser.add_argument("--site", action="store_true", help="let a site with a server of its own in, and no printer")
    parser.add_argument("--to", type=Path, metavar="FILE", help="where the enrolment is written (default: ID.farm)")
    _of_folder(parser)


def _of_revoke(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="of the printer, or the site")
    _of_folder(parser)


def _of_backup(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="a new file")
    _of_list(parser)


def _serve(args: argparse.Namespace) -> int:
    try:
        from daemon.farm.server.service import serve_farm  # noqa: PLC0415 - for the process alone
    except ModuleNotFoundError as error:
        raise _not_installed(error) from error
    from daemon.farm.server.config import read_config, state_folder, with_address  # noqa: PLC0415 - as above

    config = with_address(read_config(args.config, os.environ), args.host, args.port)
    return serve_farm(config, state_folder(os.environ, args.state), os.environ, time.time)


def _init(args: argparse.Namespace) -> int:
    folder = _engine(args)
    name = socket.gethostname()
    hosts = args.host or [name, *([] if "." in name else [f"{name}.local"])]
    hub = _enrolment(args.hub) if args.hub is not None else None
    facts = folder.init(hosts, args.port, args.store, leaf_port=args.sites, hub=hub)
    where = folder.path.absolute()
    usual = where == FOLDER
    start = "sudo systemctl enable --now nozzled-farm-nats" if usual else f"nats-server -c {where}/nats.conf"
    seed = f'seed_file = "{where}/server.seed"'
    sites = f'site = "{hub.id}"' if hub is not None else "sites = []    # names of the sites that are enrolled"
    rows = [
        f"{where} has NATS' configuration, keys and certificates. NATS is started by: {start}",
        f"Put this into {SYSTEM_FILE}{'' if usual else ', or into a file for `nozzled farm serve --config`'}:",
        "",
        "[nats]",
        f'urls = ["tls://localhost:{facts.port}"]',
        f'ca_file = "{where}/ca.pem"',
        f"# {seed}    # without nozzled-farm.service, which hands the key over" if usual else seed,
        *(["", "[sites]", sites] if hub is not None or facts.leaf_port else []),
        "",
        f"Printers reach NATS as {', '.join(hosts)}, port {facts.port}. Next: nozzled farm enrol ID, for each printer.",
        *([f"Sites reach it at port {facts.leaf_port}: nozzled farm enrol NAME --site."] if facts.leaf_port else []),
        f"Keep {where}/ca.key to yourself: whoever has it can pretend to be this farm.",
    ]
    print("\n".join(printable(row) for row in rows))
    return 0


def _enrolment(path: Path) -> "Enrolment":
    import msgspec  # noqa: PLC0415 - for who sets up alone

    from daemon.farm.engine.users import Enrolment  # noqa: PLC0415 - as above

    try:
        return msgspec.json.decode(path.read_bytes(), type=Enrolment)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error
    except msgspec.MsgspecError as error:
        raise ConfigError(f"{path}: not what `nozzled farm enrol --site` writes: {error}") from error


def _enrol(args: argparse.Namespace) -> int:
    import msgspec  # noqa: PLC0415 - for who enrols alone

    folder = _engine(args)
    target: Path = args.to or Path(f"{args.id}.farm")
    if target.exists():
        raise ConfigError(f"{target} is there already: --to names another file")
    role = "site" if args.site else "printer"
    enrolment = folder.enrol(args.id, args.group, again=args.again, role=role)
    try:
        write_private(target, msgspec.json.format(msgspec.json.encode(enrolment).decode()), replace=True)
    except OSError as error:
        raise ConfigError(f"{target}: {error.strerror}; {args.id} is enrolled: use --again") from error
    there = "init --hub" if args.site else "join"
    _reload(folder.reload())
    print(
        printable(
            f"{target} lets {args.id} in: carry it there, and nobody else. There: nozzled farm {there} {target.name}"
        )
    )
    return 0


def _revoke(args: argparse.Namespace) -> int:
    folder = _engine(args)
    folder.revoke(args.id)
    _reload(folder.reload())
    print(printable(f"{args.id} is let in no more. What it prints, it prints to the end."))
    return 0


def _backup(args: argparse.Namespace) -> int:
    try:
        from daemon.farm.list.job_list import JobList  # noqa: PLC0415 - for who backs up alone
        from daemon.farm.server.config import list_url, read_config, state_folder  # noqa: PLC0415 - as above
    except ModuleNotFoundError as error:
        raise _not_installed(error) from error
    if args.file.exists():
        raise ConfigError(f"{args.file} is there already: name a new file")
    url = list_url(read_config(args.config, os.environ), state_folder(os.environ, args.state))
    with closing(JobList(url, time.time)) as jobs:
        jobs.backup(args.file)
    print(printable(f"{args.file} has the list as it is now"))
    return 0


def _engine(args: argparse.Namespace) -> "EngineFolder":
    try:
        from daemon.farm.engine.folder import EngineFolder  # noqa: PLC0415 - for who sets up alone
    except ModuleNotFoundError as error:
        raise _not_installed(error) from error
    return EngineFolder(args.folder)


def _not_installed(error: ModuleNotFoundError) -> ConfigError:
    return ConfigError(f"a farm takes the package {error.name}: install nozzled[farm] (docs/farm.md says how)")


def _reload(trouble: str) -> None:
    print(printable(trouble or "NATS has read its users again"))


_ACTIONS: dict[str, tuple[str, Declare, Callable[[argparse.Namespace], int]]] = {
    "serve": ("Run the farm's server, until SIGTERM or Ctrl-C.", _of_serve, _serve),
    "init": ("Make the configuration, keys and certificates of the NATS beneath a farm.", _of_init, _init),
    "enrol": ("Let a printer (or a site) in: make its key, and the file that is carried to it.", _of_enrol, _enrol),
    "revoke": ("Let a printer (or a site) in no more.", _of_revoke, _revoke),
    "backup": ("Copy the list of jobs (SQLite) to a file, while it is in use.", _of_backup, _backup),
}
