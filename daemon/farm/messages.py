"""Messages between the farm's server and the agents beside the printers, as JSON.

No body names its sender: the subject does, and NATS lets each printer publish only on its own subjects. Times are Unix
times in s, lengths in mm, temperatures in °C, sizes in bytes.
"""

from typing import Annotated, Literal

import msgspec

PRINTER_ID = r"[a-z0-9-]{1,32}"
"""The id of a printer, which is part of subjects, permissions and file names."""

CHUNK = 512 * 1024
"""Bytes of G-code in one answer, and in one chunk of the object store."""

LEASE_S = 60.0
"""Seconds after which an offer that is not renewed ends: it covers download and checks, never the print."""

BEAT_INTERVAL = 10.0
"""Seconds between two presences while nothing changes."""

AWAY_AFTER_S = 60.0
"""Seconds without a presence after which a printer is away, and a copy that it has claimed is shown as an orphan."""


Name = Annotated[str, msgspec.Meta(max_length=128)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
Bytes = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Date = Annotated[float, msgspec.Meta(ge=0, le=4e9)]
Amount = Annotated[float, msgspec.Meta(ge=-1e12, le=1e12)]
"""Bounds on the fields of a printer's messages, which are logged and stored; a message beyond them is ignored."""


class FarmMessage(msgspec.Struct, frozen=True, omit_defaults=True):
    """Base of the messages; unknown fields are ignored, so the versions of both sides may differ."""


class Heat(FarmMessage, frozen=True):
    """Temperatures of a heater."""

    actual: float | None = None
    target: float | None = None


class Tool(FarmMessage, frozen=True):
    """Filament and nozzle of a tool; empty or 0: unknown."""

    material: str = ""
    colour: str = ""
    nozzle_mm: float = 0.0


class Presence(FarmMessage, frozen=True):
    """The state of a printer, as its agent reports it; NATS stores it under the printer's id in the bucket `printers`.

    Attributes:
        at: when it was reported.
        boot: id of this run of the agent.
        ready: it takes an offer now: operational, idle, bed confirmed clear, not on hold.
        reason: why it is not ready.
        state: the state's text in OctoPrint's API.
        copy: the farm's copy that it holds, from the offer on.
        size: X, Y and Z of the build volume, in mm.
        hottest: the highest temperature that a hotend may have, in °C; 0: unknown.
    """

    at: float
    boot: str
    ready: bool = False
    reason: str = ""
    state: str = ""
    name: str = ""
    url: str = ""
    group: str = ""
    version: str = ""
    on_hold: bool = False
    bed_clear: bool = False
    copy: str = ""
    file: str = ""
    progress: float | None = None
    remaining_s: float | None = None
    heaters: dict[str, Heat] = {}
    tools: list[Tool] = []
    size: tuple[float, float, float] | None = None
    hottest: float = 0.0
    camera: bool = False


class Offer(FarmMessage, frozen=True):
    """A copy offered to one printer; without a copy, the last offer is withdrawn."""

    copy: str = ""
    attempt: int = 0
    job: str = ""
    name: str = ""
    sha256: str = ""
    size: int = 0
    lease_s: float = LEASE_S
    material: str = ""


class CopyQuestion(FarmMessage, frozen=True):
    """Asks for a chunk of the copy's file, from `offset` on, or for a longer lease."""

    copy: Name
    attempt: Count
    offset: Bytes = 0


class ClaimQuestion(FarmMessage, frozen=True):
    """Asks to begin a copy. A repeated question has the same nonce."""

    copy: Name
    attempt: Count
    nonce: Name


class YesOrNo(FarmMessage, frozen=True):
    """An answer: yes, or no and the reason."""

    yes: bool
    reason: str = ""


class HeldCopy(FarmMessage, frozen=True):
    """A copy that a printer holds, according to the list."""

    copy: str
    attempt: int
    state: Literal["offered", "claimed", "printing"]
    nonce: str = ""
    cancel: bool = False


class Holdings(FarmMessage, frozen=True):
    """All copies that a printer holds, according to the list."""

    copies: list[HeldCopy] = []


ReportKind = Literal["declined", "not_begun", "printing", "done", "failed", "cancelled"]
"""`declined`: refused before the claim. `not_begun`: claimed, but the printer has certainly not begun."""


class Report(FarmMessage, frozen=True):
    """The result of a copy, or the message that it is being printed.

    Attributes:
        fits: False: the printer has declined the copy because it can never print the job; it gets no more offers of it.
    """

    copy: Name
    attempt: Count
    kind: ReportKind
    at: Date
    nonce: Name = ""
    reason: Annotated[str, msgspec.Meta(max_length=8000)] = ""
    fits: bool = True
    seconds: Amount = 0.0
    filament_mm: Amount = 0.0


OrderVerb = Literal["bed_clear", "cancel", "pause", "resume", "hold", "release", "picture"]


class FarmOrder(FarmMessage, frozen=True):
    """An order that an agent carries out at once.

    Attributes:
        by: name of the API key of the user who gave it.
        boot: the run of the agent that it is for; empty: any.
        until: deadline by the agent's clock: the `at` of the last presence, plus the time since then, plus the time
            that the order may take. After the deadline the agent refuses the order, because the user has been told
            that it failed.
    """

    verb: OrderVerb
    copy: str = ""
    by: str = ""
    boot: str = ""
    until: float = 0.0


class OrderAnswer(FarmMessage, frozen=True):
    """The answer to an order; `data` is the picture (JPEG), if one was ordered."""

    ok: bool
    reason: str = ""
    data: bytes = b""


class FailedCopy(FarmMessage, frozen=True):
    """A copy that failed, and why; stored for 30 days in the stream FAILED."""

    copy: str
    job: str
    at: float
    name: str = ""
    reason: str = ""
