"""Messages between the farm's server and the agents beside the printers, as JSON.

Who sends one is known by its subject, which NATS' permissions hold; no body names its sender. Times are seconds of the
wall clock (Unix), lengths mm, temperatures °C, sizes bytes.
"""

from typing import Annotated, Literal

import msgspec

PRINTER_ID = r"[a-z0-9-]{1,32}"
"""What a printer is called: it stands in subjects, in permissions and in file names."""

CHUNK = 512 * 1024
"""Bytes of G-code in one answer, and in one chunk of the object store."""

LEASE = 60.0
"""Seconds that an offer holds without being renewed: download and checks, never the print."""

BEAT = 10.0
"""Seconds between two presences when nothing changes."""

AWAY = 60.0
"""Seconds without a presence after which a printer is away, and what it holds is shown as an orphan."""


Name = Annotated[str, msgspec.Meta(max_length=128)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
Bytes = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
"""What a printer says is written to logs and to the list: it has its bounds, and what is beyond is not understood."""


class FarmMessage(msgspec.Struct, frozen=True, omit_defaults=True):
    """What goes over the wire; unknown fields are skipped, so versions may differ."""


class Heat(FarmMessage, frozen=True):
    """A heater."""

    actual: float | None = None
    target: float | None = None


class Tool(FarmMessage, frozen=True):
    """What is mounted; empty or 0: nobody has said."""

    material: str = ""
    colour: str = ""
    nozzle_mm: float = 0.0


class Presence(FarmMessage, frozen=True):
    """What a printer says of itself, kept under its name in the bucket `printers`.

    Attributes:
        ready: it takes an offer now: operational, idle, its bed said to be clear, not on hold.
        reason: why it is not ready.
        state: the text that OctoPrint's API gives.
        copy: the farm's copy that it holds, from the offer on.
        size: of what can be printed: x, y, z in mm.
        hottest: highest temperature that a nozzle may get, °C; 0: unknown.
        boot: new with each start of the agent.
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
    """A copy held out to one printer; without a copy, the last offer is withdrawn."""

    copy: str = ""
    attempt: int = 0
    job: str = ""
    name: str = ""
    sha256: str = ""
    size: int = 0
    lease_s: float = LEASE
    material: str = ""


class CopyQuestion(FarmMessage, frozen=True):
    """Asks for a chunk (`offset`), or for a longer lease."""

    copy: Name
    attempt: Count
    offset: Bytes = 0


class ClaimQuestion(FarmMessage, frozen=True):
    """Asks to begin a copy. The same nonce again is the same question."""

    copy: Name
    attempt: Count
    nonce: Name


class YesOrNo(FarmMessage, frozen=True):
    """Yes, or no and why."""

    yes: bool
    reason: str = ""


class Held(FarmMessage, frozen=True):
    """What the list believes that a printer holds."""

    copy: str
    attempt: int
    state: Literal["offered", "claimed", "printing"]
    nonce: str = ""
    cancel: bool = False


class Holdings(FarmMessage, frozen=True):
    """All that it holds."""

    copies: list[Held] = []


ReportKind = Literal["declined", "not_begun", "printing", "done", "failed", "cancelled"]
"""`declined`: before the claim. `not_begun`: after it, and the printer is sure that it has begun nothing."""


class Report(FarmMessage, frozen=True):
    """What became of a copy.

    Attributes:
        fits: false with `declined`: this printer cannot print the job at all; it is not offered it again.
    """

    copy: Name
    attempt: Count
    kind: ReportKind
    at: float
    nonce: Name = ""
    reason: Annotated[str, msgspec.Meta(max_length=8000)] = ""
    fits: bool = True
    seconds: float = 0.0
    filament_mm: float = 0.0


OrderVerb = Literal["bed_clear", "cancel", "pause", "resume", "hold", "release", "picture"]


class FarmOrder(FarmMessage, frozen=True):
    """What the server asks an agent to do at once.

    Attributes:
        boot: of the agent that it is meant for; empty: whichever there is.
        until: by that agent's own clock: behind it whoever gave the order was told that it failed. It is counted from
            `at` of the last presence.
    """

    verb: OrderVerb
    copy: str = ""
    by: str = ""
    boot: str = ""
    until: float = 0.0


class OrderAnswer(FarmMessage, frozen=True):
    """What came of it; `data` is a picture (JPEG)."""

    ok: bool
    reason: str = ""
    data: bytes = b""


class FailedCopy(FarmMessage, frozen=True):
    """What was not printed, and why; kept for 30 days in the stream FAILED."""

    copy: str
    job: str
    at: float
    name: str = ""
    reason: str = ""
