"""Handlers for printers: their state, orders to them, and their pictures."""

import logging
from typing import get_args

from daemon.errors import StoreError
from daemon.farm.errors import FarmConflict, ListAway
from daemon.farm.http.base import FarmHandler
from daemon.farm.http.keys import FarmScope
from daemon.farm.http.views import printer_view, printer_views
from daemon.farm.list.job_list import JobList
from daemon.farm.messages import FarmOrder, OrderAnswer, OrderVerb
from daemon.http.errors import Refused

log = logging.getLogger("nozzled.farm.http")

MAX_PICTURE = 5 * 1024 * 1024  # bytes
VERBS: tuple[OrderVerb, ...] = tuple(verb for verb in get_args(OrderVerb) if verb != "picture")


class PrintersHandler(FarmHandler):
    """/api/farm/printers."""

    async def get(self) -> None:
        """List the printers."""
        held = await self.ask(JobList.all_held_copies)
        self.answer({"printers": list(printer_views(self.farm.printers, held, self.farm.wall()).values())})


class FarmPrinterHandler(FarmHandler):
    """/api/farm/printers/<id>."""

    async def get(self, printer: str) -> None:
        """Answer with a printer."""
        presence = self.farm.printers.presences.get(printer)
        if presence is None:
            raise Refused(404, f"there is no printer {printer}")
        held = await self.ask(JobList.all_held_copies)
        mine = next((copy for copy in held if copy.printer == printer), None)
        self.answer(printer_view(printer, presence, self.farm.printers, mine, self.farm.wall()))

    async def delete(self, printer: str) -> None:
        """Remove a printer from the list, if it is away."""
        if self.farm.printers.presences.get(printer) is None:
            raise Refused(404, f"there is no printer {printer}")
        if not self.farm.printers.is_away(printer):
            raise FarmConflict(f"{printer} is connected: stop its agent first")
        await self.ask(lambda jobs: jobs.forget_printer(printer, self.key.name))
        self.farm.printers.forget(printer)
        self.no_content()


class _OrderingHandler(FarmHandler):
    """Base of the handlers that send an order to a printer's agent."""

    async def order(self, printer: str, order: FarmOrder) -> OrderAnswer:
        """Send an order, and return its answer; raises Refused, FarmConflict, FarmUnreachable."""
        if printer not in self.farm.printers.presences:
            raise Refused(404, f"there is no printer {printer}")
        answer = await self.farm.printers.order(printer, order)
        if not answer.ok:
            raise FarmConflict(answer.reason or f"{printer} refused the request")
        return answer


class PrinterVerbHandler(_OrderingHandler):
    """/api/farm/printers/<id>/{bed_clear,pause,resume,hold,release,cancel}."""

    async def post(self, printer: str, verb: str) -> None:
        """Send the order to the printer's agent, and wait for its answer."""
        order = next(each for each in VERBS if each == verb)
        held = await self.ask(JobList.all_held_copies)
        copy = next((each.id for each in held if each.printer == printer), "")
        self.require_no_delay()
        await self.order(printer, FarmOrder(verb=order, copy=copy, by=self.key.name))
        try:
            await self.ask(lambda jobs: jobs.add_event(self.key.name, verb, printer=printer))
        except (ListAway, StoreError) as error:  # the order was carried out nevertheless
            log.warning("%s of %s by %s is not in the list's log: %s", verb, printer, self.key.name, error)
        self.no_content()


class PrinterPictureHandler(_OrderingHandler):
    """/api/farm/printers/<id>/picture."""

    read_scope = FarmScope.READ

    async def get(self, printer: str) -> None:
        """Answer with a picture from the printer's camera."""
        answer = await self.order(printer, FarmOrder(verb="picture", by=self.key.name))
        if not answer.data.startswith(b"\xff\xd8") or len(answer.data) > MAX_PICTURE:
            raise Refused(502, f"{printer} sent no picture")
        self.set_header("Content-Type", "image/jpeg")
        self.write(answer.data)
