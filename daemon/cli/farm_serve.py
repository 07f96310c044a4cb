"""`nozzled farm serve | init | enrol | revoke | backup`: the farm's server, and the NATS beneath it."""

import argparse
import os
import socket
import time  # noqa: TID251 - as in `serve`: the wall clock is injected from here
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from daemon.cli.remote import printable
from daemon.errors import ConfigError
from daemon.private_file import write_private

if TYPE_CHECKING:
    from daemon.farm.nats_server.folder import NatsFolder
    from daemon.farm.nats_server.users import Enrolment

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


def _declare_serve(parser: argparse.ArgumentParser) -> None:
    _declare_state(parser)
    parser.add_argument("--host", metavar="H", help="address to listen on (default: as configured)")
    parser.add_argument("--port", type=int, metavar="P", help="TCP port of API and page (default: as configured)")


def _declare_state(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", type=Path, metavar="F", help=f"configuration file (default: {SYSTEM_FILE}, if it exists)"
    )
    parser.add_argument(
        "--state", type=Path, metavar="DIR", help="folder of list, keys and cache (default: /var/lib/nozzled-farm)"
    )


def _declare_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--folder", type=Path, default=FOLDER, metavar="DIR", help=f"folder that `init` made (default: {FOLDER})"
    )


def _declare_init(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder",
        type=Path,
        nargs="?",
        default=FOLDER,
        metavar="FOLDER",
        help=f"folder for configuration, keys and certificates (default: {FOLDER})",
    )
    parser.add_argument(
        "--host",
        action="append",
        default=[],
        metavar="H",
        help="name or address under which printers reach this computer; may be repeated (default: its name, with and "
        "without .local)",
    )
    parser.add_argument("--port", type=int, default=PORT, metavar="P", help=f"TCP port of NATS (default: {PORT})")
    parser.add_argument(
        "--store", type=Path, default=STORE, metavar="DIR", help=f"folder for the data of NATS (default: {STORE})"
    )
    parser.add_argument(
        "--sites",
        type=int,
        nargs="?",
        const=LEAF_PORT,
        default=0,
        metavar="PORT",
        help=f"let other sites connect, to this port (default: {LEAF_PORT})",
    )
    parser.add_argument(
        "--hub", type=Path, metavar="FILE", help="for a site: the file that `enrol --site` made at the hub"
    )


def _declare_enrol(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="id of the printer or the site: 1 to 32 characters of a-z, 0-9 and -")
    parser.add_argument("--group", default="", metavar="G", help="group of the printer, which jobs may require")
    parser.add_argument(
        "--again", action="store_true", help="replace the key of a printer or site that is enrolled already"
    )
    parser.add_argument("--site", action="store_true", help="enrol a site with a server of its own, not a printer")
    parser.add_argument("--to", type=Path, metavar="FILE", help="file for the enrolment (default: ID.farm)")
    _declare_folder(parser)


def _declare_revoke(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="id of the printer or the site")
    _declare_folder(parser)


def _declare_backup(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="a file that does not exist yet")
    _declare_state(parser)


def _serve(args: argparse.Namespace) -> int:
    try:
        from daemon.farm.server.service import serve_farm  # noqa: PLC0415 - only for `serve`
    except ModuleNotFoundError as error:
        raise _not_installed(error) from error
    from daemon.farm.server.config import read_config, state_folder, with_address  # noqa: PLC0415 - as above

    config = with_address(read_config(args.config, os.environ), args.host, args.port)
    return serve_farm(config, state_folder(os.environ, args.state), os.environ, time.time)


def _init(args: argparse.Namespace) -> int:
    folder = _nats_folder(args)
    name = socket.gethostname()
    hosts = args.host or [name, *([] if "." in name else [f"{name}.local"])]
    hub = _enrolment(args.hub) if args.hub is not None else None
    facts = folder.init(hosts, args.port, args.store, leaf_port=args.sites, hub=hub)
    where = folder.path.absolute()
    is_default = where == FOLDER
    start = "sudo systemctl enable --now nozzled-farm-nats" if is_default else f"nats-server -c {where}/nats.conf"
    seed = f'seed_file = "{where}/server.seed"'
    sites = f'site = "{hub.id}"' if hub is not None else "sites = []    # names of the sites that are enrolled"
    rows = [
        f"{where} has the configuration, keys and certificates of NATS. To start NATS: {start}",
        f"Put this into {SYSTEM_FILE}{'' if is_default else ', or into a file for `nozzled farm serve --config`'}:",
        "",
        "[nats]",
        f'urls = ["tls://localhost:{facts.port}"]',
        f'ca_file = "{where}/ca.pem"',
        f"# {seed}    # only needed without nozzled-farm.service, which passes the seed on" if is_default else seed,
        *(["", "[sites]", sites] if hub is not None or facts.leaf_port else []),
        "",
        f"Printers reach NATS as {', '.join(hosts)}, port {facts.port}. Next: nozzled farm enrol ID, for each printer.",
        *([f"Sites reach it at port {facts.leaf_port}: nozzled farm enrol NAME --site."] if facts.leaf_port else []),
        f"Keep {where}/ca.key secret: anyone who has it can pretend to be this farm.",
    ]
    print("\n".join(printable(row) for row in rows))
    return 0


def _enrolment(path: Path) -> "Enrolment":
    import msgspec  # noqa: PLC0415 - only for set-up

    from daemon.farm.nats_server.users import Enrolment  # noqa: PLC0415 - as above

    try:
        return msgspec.json.decode(path.read_bytes(), type=Enrolment)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from error
    except msgspec.MsgspecError as error:
        raise ConfigError(f"{path} is not what `nozzled farm enrol --site` writes: {error}") from error


def _enrol(args: argparse.Namespace) -> int:
    import msgspec  # noqa: PLC0415 - only for `enrol`

    folder = _nats_folder(args)
    target: Path = args.to or Path(f"{args.id}.farm")
    if target.exists():
        raise ConfigError(f"{target} already exists: choose another file with --to")
    role = "site" if args.site else "printer"
    enrolment = folder.enrol(args.id, args.group, again=args.again, role=role)
    try:
        write_private(target, msgspec.json.format(msgspec.json.encode(enrolment).decode()), replace=True)
    except OSError as error:
        raise ConfigError(
            f"cannot write {target}: {error.strerror}; {args.id} is enrolled by now, so repeat this with --again"
        ) from error
    action = "init --hub" if args.site else "join"
    _print_reload(folder.reload())
    print(
        printable(
            f"{target} holds the key of {args.id}, so keep it secret. Copy it to the computer of {args.id}, and run "
            f"there: nozzled farm {action} {target.name}"
        )
    )
    return 0


def _revoke(args: argparse.Namespace) -> int:
    folder = _nats_folder(args)
    folder.revoke(args.id)
    _print_reload(folder.reload())
    print(printable(f"{args.id} is revoked. It still finishes the print that it has begun."))
    return 0


def _backup(args: argparse.Namespace) -> int:
    try:
        from daemon.farm.list.database import back_up  # noqa: PLC0415 - only for `backup`
        from daemon.farm.server.config import find_state_folder, list_url, read_config  # noqa: PLC0415 - as above
    except ModuleNotFoundError as error:
        raise _not_installed(error) from error
    back_up(list_url(read_config(args.config, os.environ), find_state_folder(os.environ, args.state)), args.file)
    print(printable(f"{args.file} has a copy of the list"))
    return 0


def _nats_folder(args: argparse.Namespace) -> "NatsFolder":
    try:
        from daemon.farm.nats_server.folder import NatsFolder  # noqa: PLC0415 - only for set-up
    except ModuleNotFoundError as error:
        raise _not_installed(error) from error
    return NatsFolder(args.folder)


def _not_installed(error: ModuleNotFoundError) -> ConfigError:
    return ConfigError(f"nozzled farm needs the package {error.name}: install nozzled[farm] (docs/farm.md says how)")


def _print_reload(trouble: str) -> None:
    print(printable(trouble or "NATS has read its users again"))


_ACTIONS: dict[str, tuple[str, Declare, Callable[[argparse.Namespace], int]]] = {
    "serve": ("Run the farm's server, until SIGTERM or Ctrl-C.", _declare_serve, _serve),
    "init": ("Make the configuration, keys and certificates of a farm's NATS server.", _declare_init, _init),
    "enrol": ("Admit a printer (or a site): make its key, in a file that you copy to it.", _declare_enrol, _enrol),
    "revoke": ("Revoke the key of a printer (or a site).", _declare_revoke, _revoke),
    "backup": ("Copy the list of jobs (SQLite) to a file, while it is in use.", _declare_backup, _backup),
}
