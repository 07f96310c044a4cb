"""Who may speak with NATS, and about what: each with a key of its own, and the least that it needs."""

import os
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec
import nkeys

from daemon.farm.carrier.subjects import PRESENCE, inbox, of, site_inbox

ASKED = ("file", "renew", "claim", "held", "report")
"""What a printer asks the server."""

ANSWER_WITHIN = "15s"
ACCOUNT = "FARM"


class NatsUser(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who is let in.

    Attributes:
        nkey: the public half of the key; the seed is with its owner alone.
    """

    name: str
    role: Literal["server", "printer", "site"]
    nkey: str
    group: str = ""


class Enrolment(msgspec.Struct, frozen=True, kw_only=True):
    """What is carried to a printer, or to a site: where NATS is, and who it is there."""

    id: str
    servers: list[str]
    seed: str
    ca: str = ""
    group: str = ""


def make_key() -> tuple[str, str]:
    """Return a new seed, and the public key of it."""
    seed = nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER)
    pair = nkeys.from_seed(bytearray(seed))
    public = pair.public_key.decode()
    pair.wipe()
    return bytes(seed).decode(), public


def printer_may(printer: str) -> tuple[list[str], list[str]]:
    """Return the subjects that a printer may publish to, and listen to."""
    return (
        [*(of(kind, printer) for kind in ASKED), f"{PRESENCE}.{printer}"],
        [of("offer", printer), of("order", printer), f"{inbox(printer)}.>"],
    )


def site_may(site: str) -> tuple[list[str], list[str]]:
    """Return the subjects that a site's leaf node may send to the hub, and have from it: no printer's."""
    return ([f"farm.site.{site}.*"], [f"{site_inbox(site)}.>"])


def render_users(users: Iterable[NatsUser]) -> str:
    """Return the file of users that NATS' configuration includes."""
    lines = ["# Written by `nozzled farm`: changes are lost. `nozzled farm enrol` and `revoke` change it.", "users: ["]
    for user in users:
        permissions = ""
        if user.role == "printer":
            permissions = f", permissions: {_permissions(*printer_may(user.name))}"
        elif user.role == "site":
            permissions = f", permissions: {_permissions(*site_may(user.name))}"
        lines.append(f'  # {user.role} {user.name}\n  {{ nkey: "{user.nkey}"{permissions} }}')
    return "\n".join([*lines, "]", ""])


def _permissions(publish: Sequence[str], subscribe: Sequence[str]) -> str:
    return (
        f"{{ publish: {{ allow: [{_listed(publish)}] }}, subscribe: {{ allow: [{_listed(subscribe)}] }}, "
        f'allow_responses: {{ max: 1, expires: "{ANSWER_WITHIN}" }} }}'
    )


def _listed(subjects: Sequence[str]) -> str:
    return ", ".join(f'"{each}"' for each in subjects)
