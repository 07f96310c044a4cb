"""The interfaces of both ends of the connection between agents and server, and of the server's duties."""

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

ANSWER_TIMEOUT = 5.0
"""Seconds that an answer may take before it counts as lost."""

ORDER_TIMEOUT = 10.0
"""Seconds that an agent has to carry out an order; a user waits for it."""

OrderHandler = Callable[[FarmOrder], Awaitable[OrderAnswer]]


class AgentEnd(Protocol):
    """An agent's end. A question that gets no answer raises FarmUnreachable, though it may have arrived."""

    @property
    def is_connected(self) -> bool:
        """Whether the agent is connected to NATS, as far as it knows."""

    @property
    def trouble(self) -> str:
        """Why it is not connected, a sentence for users; empty: it is."""

    on_connect: Callable[[], None] | None
    """Called after each connection: messages from before may be lost."""

    async def run(self) -> None:
        """Stay connected until cancelled."""

    def receive_offers(self) -> AsyncIterator[Offer | None]:
        """Yield the offers to this printer; None: the last one is withdrawn. An offer may come several times.

        An offer that was lost, because the agent was not connected, is sent again when the agent reports the printer as
        ready. A newer offer replaces one that was not received yet. Only one task may iterate.
        """

    async def report_presence(self, presence: Presence) -> None:
        """Report the state of the printer. A lost report does no harm: the next one follows soon."""

    async def fetch_chunk(self, copy: str, attempt: int, offset: int) -> bytes:
        """Return up to CHUNK bytes of the offered file, none at its end. This also renews the lease of the offer.

        Raises:
            FarmRefused: this copy is not offered to this printer, or the server has lost the file.
        """

    async def renew(self, copy: str, attempt: int) -> YesOrNo:
        """Ask for a longer lease of the offer."""

    async def claim(self, copy: str, attempt: int, nonce: str) -> YesOrNo:
        """Ask to begin the print. After FarmUnreachable, begin nothing, and ask again with the same nonce."""

    async def fetch_holdings(self) -> Holdings:
        """Ask which copies this printer holds, according to the list."""

    async def report(self, report: Report) -> None:
        """Report the result of a copy; return once it is on the list's disk, or the list has refused it for good."""

    def set_order_handler(self, handler: OrderHandler) -> None:
        """Set the handler that answers orders from now on."""


class Duties(Protocol):
    """Answers the questions of agents. NATS' permissions guarantee that a question comes from `printer`."""

    async def on_connected(self) -> None:
        """Take note that NATS is connected, for the first time or again."""

    async def on_presence(self, printer: str, presence: Presence) -> None:
        """Take note of the state of a printer."""

    async def read_chunk(self, printer: str, question: CopyQuestion) -> bytes:
        """Return a chunk; raises FarmRefused."""

    async def renew(self, printer: str, question: CopyQuestion) -> YesOrNo:
        """Renew the lease of an offer, or refuse."""

    async def claim(self, printer: str, question: ClaimQuestion) -> YesOrNo:
        """Let the printer begin a copy, or refuse."""

    async def find_holdings(self, printer: str) -> Holdings:
        """Return the copies that the printer holds."""

    async def report(self, printer: str, report: Report) -> YesOrNo:
        """Record the result of a copy. If this raises an exception, the agent gets no answer and reports again."""


class ServerEnd(Protocol):
    """The server's end. Every method raises FarmUnreachable when NATS, or the printer, does not answer."""

    @property
    def presences(self) -> Mapping[str, Presence]:
        """The last presence of each printer."""

    @property
    def is_connected(self) -> bool:
        """Whether NATS is connected, with its streams."""

    @property
    def trouble(self) -> str:
        """Why it is not connected, a sentence for users; empty: it is."""

    async def run(self, duties: Duties) -> None:
        """Stay connected and answer, until cancelled."""

    async def offer(self, printer: str, offer: Offer) -> None:
        """Offer a copy to a printer; this replaces the last offer."""

    async def withdraw(self, printer: str) -> None:
        """Withdraw the last offer to a printer."""

    async def order(self, printer: str, order: FarmOrder, within: float = ORDER_TIMEOUT) -> OrderAnswer:
        """Send an order to an agent, and return its answer."""

    async def store_failed(self, printer: str, copy: FailedCopy) -> None:
        """Add a failed copy to the stream FAILED, where users look for it."""

    async def put_file(self, sha256: str, path: Path) -> None:
        """Store a file for all servers."""

    async def get_file(self, sha256: str, path: Path) -> None:
        """Write a stored file to a path, and check its hash; raises FarmRefused if there is no such file."""

    async def remove_file(self, sha256: str) -> None:
        """Delete a stored file."""

    async def remove_leftovers(self) -> int:
        """Delete old chunks of interrupted uploads from the store; return the number of these uploads.

        Chunks of the last hours stay: their upload may still be running.
        """
