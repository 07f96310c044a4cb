"""The users of a farm's NATS: each has its own key; printers and sites may use only the subjects that they need."""

import os
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec
import nkeys

from daemon.farm.carrier.subjects import PRESENCE, printer_inbox, printer_subject, site_inbox

QUESTIONS = ("file", "renew", "claim", "held", "report")
"""The kinds of a printer's questions to the server."""

ANSWER_EXPIRY = "15s"


class NatsUser(msgspec.Struct, frozen=True, kw_only=True):
    """A server, printer or site that may connect.

    Attributes:
        nkey: its public key; only the user itself has the seed.
    """

    name: str
    role: Literal["server", "printer", "site"]
    nkey: str
    group: str = ""


class Enrolment(msgspec.Struct, frozen=True, kw_only=True):
    """The file that is copied to a printer or a site: the address of NATS, and the key to connect with."""

    id: str
    servers: list[str]
    seed: str
    ca: str = ""
    group: str = ""


def make_key() -> tuple[str, str]:
    """Make a key; return its seed and its public half."""
    seed = nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER)
    pair = nkeys.from_seed(bytearray(seed))
    public = pair.public_key.decode()
    pair.wipe()
    return bytes(seed).decode(), public


def printer_subjects(printer: str) -> tuple[list[str], list[str]]:
    """Return the subjects that a printer may publish to, and those that it may subscribe to."""
    return (
        [*(printer_subject(kind, printer) for kind in QUESTIONS), f"{PRESENCE}.{printer}"],
        [printer_subject("offer", printer), printer_subject("order", printer), f"{printer_inbox(printer)}.>"],
    )


def site_subjects(site: str) -> tuple[list[str], list[str]]:
    """Return the subjects that a site's leaf node may publish to, and those that it may subscribe to."""
    return ([f"farm.site.{site}.*"], [f"{site_inbox(site)}.>"])


def render_users(users: Iterable[NatsUser]) -> str:
    """Return the list of users that the configuration of NATS includes."""
    lines = ["# Written by `nozzled farm enrol` and `revoke`, which overwrite other changes.", "users: ["]
    for user in users:
        permissions = ""
        if user.role == "printer":
            permissions = f", permissions: {_permissions(*printer_subjects(user.name))}"
        elif user.role == "site":
            permissions = f", permissions: {_permissions(*site_subjects(user.name))}"
        lines.append(f'  # {user.role} {user.name}\n  {{ nkey: "{user.nkey}"{permissions} }}')
    return "\n".join([*lines, "]", ""])


def _permissions(publish: Sequence[str], subscribe: Sequence[str]) -> str:
    return (
        f"{{ publish: {{ allow: [{_quote_all(publish)}] }}, subscribe: {{ allow: [{_quote_all(subscribe)}] }}, "
        f'allow_responses: {{ max: 1, expires: "{ANSWER_EXPIRY}" }} }}'
    )


def _quote_all(subjects: Sequence[str]) -> str:
    return ", ".join(f'"{each}"' for each in subjects)
