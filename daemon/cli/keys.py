"""`nozzled keys`: named keys, and apps that ask for one.

`add`, `list` and `revoke` use the daemon's own file, even if it is not running; it notices a change within a second.
`requests`, `allow` and `deny` talk to the running daemon, which holds the requests in memory.
"""

import argparse
import json
import sys
import time  # noqa: TID251 - the date at which a key is made; no daemon runs here
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from daemon.cli import local_daemon, remote
from daemon.cli.options import STATE_DIR, add_config
from daemon.cli.remote import Action, printable
from daemon.client import OctoPrintClient
from daemon.front.access.keyring import Keyring, NamedKey
from daemon.front.access.scopes import Scope

EXAMPLE = "nozzled keys add phone --scope control"

SCOPES = [scope.label for scope in Scope]
SCOPE_HELP = "read: look; control: also print and move; admin: also manage keys and shut down (default: control)"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    for name, (summary, work, declare) in _LOCAL.items():
        command = actions.add_parser(name, help=summary, description=summary)
        declare(command)
        add_config(command)
        command.add_argument("--json", action="store_true", help="print the answer as JSON, for scripts")
        command.set_defaults(work=work)
    remote.add_among(actions, _REMOTE)


def run(args: argparse.Namespace) -> int:
    """Run the action."""
    if not hasattr(args, "work"):
        return remote.run(args)
    if args.config is None and getattr(args, STATE_DIR) is None:
        remote.say_which_daemon("add, list and revoke are for")
    target = local_daemon.find(args)
    local_daemon.require_rights(target, args)
    local_daemon.require_own_daemon(target, makes_a_key=args.work is _add)
    keyring = Keyring(target.state, time.time)
    text: str = args.work(keyring, args)
    if text:
        print(text)
    return 0


# -- the file --------------------------------------------------------------------------------------------------


def _add(keyring: Keyring, args: argparse.Namespace) -> str:
    key = keyring.add(args.name, Scope.named(args.scope))
    if args.json:
        return json.dumps({"name": args.name, "scope": args.scope, "key": key})
    print(f"key {printable(args.name)}, scope {args.scope}; it is not shown again:", file=sys.stderr)
    return key


def _list(keyring: Keyring, args: argparse.Namespace) -> str:
    keyring.load()
    if args.json:
        return json.dumps([_as_json(key) for key in keyring.keys])
    if not keyring.keys:
        return "there are no named keys; `nozzled key` shows the first key, which has no name"
    return "\n".join([_row("name", "scope", "made", "last used", ""), *map(_row_of, keyring.keys)])


def _row_of(key: NamedKey) -> str:
    return _row(printable(key.name), key.scope, _date(key.created), _date(key.last_used), "app" if key.app else "")


def _row(name: str, scope: str, created: str, used: str, app: str) -> str:
    return f"{name:<24} {scope:<8} {created:<17} {used:<17} {app}".rstrip()


def _as_json(key: NamedKey) -> dict[str, Any]:
    """Return the public facts of a key: not even its hash is among them."""
    return {"name": key.name, "scope": key.scope, "created": key.created, "last_used": key.last_used, "app": key.app}


def _date(when: int | None) -> str:
    return "never" if when is None else datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%d %H:%MZ")


def _revoke(keyring: Keyring, args: argparse.Namespace) -> str:
    keyring.revoke(args.name)
    return "null" if args.json else ""


def _declare_add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="name of the key, like phone or slicer")
    parser.add_argument("--scope", choices=SCOPES, default=Scope.CONTROL.label, help=SCOPE_HELP)


def _declare_revoke(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="as `list` shows it")


Work = Callable[[Keyring, argparse.Namespace], str]
Declare = Callable[[argparse.ArgumentParser], None]

_LOCAL: dict[str, tuple[str, Work, Declare]] = {
    "add": ("Make a key and show it once.", _add, _declare_add),
    "list": ("List the keys by name, with scope, creation date and last use.", _list, lambda _: None),
    "revoke": ("Revoke a key; it stops working within a second.", _revoke, _declare_revoke),
}


# -- the running daemon ----------------------------------------------------------------------------------------


async def _requests(client: OctoPrintClient, _: argparse.Namespace) -> dict[str, Any]:
    pending: dict[str, Any] = (await client.get("/api/plugin/appkeys"))["pending"]
    return pending


def _format(pending: dict[str, Any]) -> str:
    rows = [f"{token}  {printable(each['app_id'])}  from {each['remote_address']}" for token, each in pending.items()]
    return "\n".join(rows) or "no app is asking for a key"


def _decide(*, allow: bool) -> Callable[[OctoPrintClient, argparse.Namespace], Awaitable[Any]]:
    async def decide(client: OctoPrintClient, args: argparse.Namespace) -> None:
        answer = {"decision": allow, **({"scope": args.scope} if allow else {})}
        await client.post(f"/plugin/appkeys/decision/{args.token}", answer)

    return decide


def _declare_allow(parser: argparse.ArgumentParser) -> None:
    _declare_deny(parser)
    parser.add_argument("--scope", choices=SCOPES, default=Scope.CONTROL.label, help=SCOPE_HELP)


def _declare_deny(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("token", metavar="TOKEN", help="as `requests` shows it")


_REMOTE = {
    "requests": Action("List the apps that ask for a key.", _requests, _format),
    "allow": Action("Give an app the key it asks for.", _decide(allow=True), arguments=_declare_allow),
    "deny": Action("Refuse an app.", _decide(allow=False), arguments=_declare_deny),
}
