"""`nozzled farm agent` and `nozzled farm join`: the printer's side of a farm."""

import argparse
import json
import os
import re
import time  # noqa: TID251 - as in `serve`: the wall clock is injected from here
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from daemon.cli.remote import add_server
from daemon.client import OctoPrintClient
from daemon.companions.companion import Companion
from daemon.errors import ConfigError
from daemon.private_file import write_private

_AGENT = "Print the copies that the farm offers, until SIGTERM or Ctrl-C."
_JOIN = "Add this printer to a farm: write its seed, and show the section for the configuration file."
CONFIG, INSTANCES = Path("/etc/nozzled.toml"), Path("/etc/nozzled")
SEED, CA = ".farm-seed", ".farm-ca.pem"
MAX_ENROLMENT = 64 * 1024  # bytes
_WORDS = re.compile(r"[\w .:/@\[\]-]*")


def add(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the actions."""
    agent = actions.add_parser("agent", help=_AGENT, description=_AGENT)
    add_server(agent)
    agent.set_defaults(act=_agent)
    join = actions.add_parser("join", help=_JOIN, description=_JOIN)
    join.add_argument(
        "file", type=Path, metavar="FILE", help="enrolment that `nozzled farm enrol` made for this printer"
    )
    join.add_argument(
        "--config",
        type=Path,
        default=CONFIG,
        metavar="F",
        help=f"configuration file of the printer, beside which the seed is written (default: {CONFIG})",
    )
    join.set_defaults(act=_join)


def _agent(args: argparse.Namespace) -> int:
    from daemon.cli.companion_process import serve  # noqa: PLC0415 - only for `agent`

    def make(client: OctoPrintClient, folder: Path, config: Path | None) -> Companion:
        try:
            from daemon.companions.farm.companion import FarmCompanion  # noqa: PLC0415 - as above
        except ModuleNotFoundError as error:
            raise ConfigError(
                "nozzled farm needs the package nats-py: install nozzled[farm] (docs/farm.md says how)"
            ) from error
        from daemon.companions.farm.config import read  # noqa: PLC0415 - as above

        return FarmCompanion(client, folder, config=read(config, os.environ), environ=os.environ, wall=time.time)

    return serve("farm", make, args)


def _join(args: argparse.Namespace) -> int:
    enrolment = _enrolment(args.file)
    config: Path = args.config.absolute()
    seed, ca = config.with_suffix(SEED), config.with_suffix(CA)  # where the units look for them
    try:
        write_private(seed, enrolment["seed"] + "\n", replace=True)
        if enrolment["ca"]:
            write_private(ca, enrolment["ca"], replace=True)
            ca.chmod(0o644)
    except OSError as error:
        raise ConfigError(f"cannot write to {config.parent}: {error.strerror or error}") from error
    files = {"seed_file": str(seed), **({"ca_file": str(ca)} if enrolment["ca"] else {})}
    names = ("id", "servers", "group")
    section = {name: enrolment[name] for name in names if enrolment[name]} | files
    rows = [f"{name} = {json.dumps(value)}" for name, value in section.items()]
    print(f"# Put this into {config}, then: {_next(config)}", "[farm]", *rows, sep="\n")
    return 0


def _next(config: Path) -> str:
    """Return the commands to run next; the configuration of an installed service is in one of two folders."""
    instance = "" if config == CONFIG else f"@{config.stem}" if config.parent == INSTANCES else None
    if instance is None:
        return f"restart nozzled, and run: nozzled farm agent --config {config}"
    return f"sudo systemctl restart nozzled-front{instance}; sudo systemctl enable --now nozzled-farm-agent{instance}"


def _enrolment(path: Path) -> Mapping[str, Any]:
    """Read an enrolment.

    Raises:
        ConfigError: the file cannot be read, or is not an enrolment.
    """
    from daemon.companions.farm.config import FarmConfig, check  # noqa: PLC0415 - only for `join`

    try:
        with path.open("rb") as file:
            content = json.loads(file.read(MAX_ENROLMENT))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not what `nozzled farm enrol` writes: {error}") from error
    fields = (
        {name: content.get(name, "") for name in ("id", "group", "seed", "ca")} if isinstance(content, dict) else {}
    )
    servers = content.get("servers") if fields else None
    are_texts = isinstance(servers, list) and all(isinstance(each, str) for each in (*fields.values(), *servers))
    if not are_texts or not fields["seed"].startswith("SU") or not fields["seed"].isalnum():
        raise ConfigError(f"{path} is not what `nozzled farm enrol` writes")
    if not all(_WORDS.fullmatch(each) for each in (fields["group"], *(servers or ()))):
        raise ConfigError(f"{path}: its group or a server address is not valid")
    check(FarmConfig(id=fields["id"], servers=tuple(servers or ())))
    return {**fields, "servers": servers}
