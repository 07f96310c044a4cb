"""What an agent, and what the server, may ask of the way between them."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Protocol

from daemon.farm.messages import (
    ClaimQuestion,
    CopyQuestion,
    FailedCopy,
    FarmOrder,
    Holdings,
    Offer,
    OrderAnswer,
    Presence,
    Report,
    YesOrNo,
)

PATIENCE = 5.0
"""Seconds that an answer may take before it counts as lost."""

ORDER_PATIENCE = 10.0
"""Seconds that an agent has to do what it is ordered; a person waits for it."""

OrderHandler = Callable[[FarmOrder], Awaitable[OrderAnswer]]


class AgentEnd(Protocol):
    """An agent's end. Every question raises FarmUnreachable when no answer comes; it may have arrived all the same."""

    @property
    def connected(self) -> bool:
        """Whether the server can be asked now, as far as is known."""

    @property
    def trouble(self) -> str:
        """Why not; a sentence for people, or nothing."""

    on_connect: Callable[[], None] | None
    """Called after each connection: what was said meanwhile may be lost."""

    async def run(self) -> None:
        """Stay connected until cancelled."""

    def offers(self) -> AsyncIterator[Offer | None]:
        """Yield what is held out to this printer; None: nothing is, any more. The same may come again.

        What was said while this was not connected is said again when the printer presents itself as ready. What one
        does not take in time is replaced by what came later. There is one listener.
        """

    async def present(self, presence: Presence) -> None:
        """Say how the printer is. Nothing is lost where this is: it is said again."""

    async def file(self, copy: str, attempt: int, offset: int) -> bytes:
        """Return the next bytes of the offered file, CHUNK at most, none at its end; the offer holds longer for it.

        Raises:
            FarmRefused: this copy is not offered to this printer, or the server has lost the file.
        """

    async def renew(self, copy: str, attempt: int) -> YesOrNo:
        """Ask for more time before the claim."""

    async def claim(self, copy: str, attempt: int, nonce: str) -> YesOrNo:
        """Ask to begin. After FarmUnreachable only the same nonce may be asked with, and nothing begins."""

    async def held(self) -> Holdings:
        """Ask what the list believes that this printer holds."""

    async def report(self, report: Report) -> None:
        """Say what became of a copy; returns when the list has it on its disk, or knows better."""

    def orders(self, handler: OrderHandler) -> None:
        """Have orders answered by this, from now on."""


class Duties(Protocol):
    """What the server answers. The printer is the one that NATS lets speak under this name."""

    async def connected(self) -> None:
        """Hear that the way is there again, or for the first time."""

    async def heard(self, printer: str, presence: Presence) -> None:
        """Hear how a printer is."""

    async def file(self, printer: str, question: CopyQuestion) -> bytes:
        """Return a chunk; raises FarmRefused."""

    async def renew(self, printer: str, question: CopyQuestion) -> YesOrNo:
        """Let an offer hold longer, or not."""

    async def claim(self, printer: str, question: ClaimQuestion) -> YesOrNo:
        """Let it begin, or not."""

    async def held(self, printer: str) -> Holdings:
        """Return what it holds."""

    async def report(self, printer: str, report: Report) -> YesOrNo:
        """Write it down; whatever this raises, there is no answer, and the report comes again."""


class ServerEnd(Protocol):
    """The server's end. Everything raises FarmUnreachable when NATS, or the printer, does not answer."""

    @property
    def presences(self) -> Mapping[str, Presence]:
        """What each printer said last."""

    @property
    def connected(self) -> bool:
        """Whether NATS is there, with its streams."""

    @property
    def trouble(self) -> str:
        """Why not; a sentence for people, or nothing."""

    async def run(self, duties: Duties) -> None:
        """Stay connected and answer, until cancelled."""

    async def offer(self, printer: str, offer: Offer) -> None:
        """Hold a copy out to a printer; it replaces what was held out before."""

    async def withdraw(self, printer: str) -> None:
        """Take back what is held out to it."""

    async def order(self, printer: str, order: FarmOrder, within: float = ORDER_PATIENCE) -> OrderAnswer:
        """Have an agent do something at once."""

    async def failed(self, printer: str, failed: FailedCopy) -> None:
        """Keep what was not printed where people look for it."""

    async def put_file(self, sha256: str, path: Path) -> None:
        """Keep a file for all servers."""

    async def get_file(self, sha256: str, path: Path) -> None:
        """Write a file that was kept to a path; its hash was compared. Raises FarmRefused where there is none."""

    async def remove_file(self, sha256: str) -> None:
        """Forget a file."""
