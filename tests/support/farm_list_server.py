"""A farm server for agents, in memory and on the virtual clock, with the farm's real list."""

import asyncio
import hashlib
import weakref
from contextlib import suppress

from daemon.farm.carrier.errors import FarmRefused, FarmUnreachable
from daemon.farm.list.job_list import JobList
from daemon.farm.list.values import FileFacts, JobRequest
from daemon.farm.messages import CHUNK, LEASE_S, FarmOrder, Holdings, YesOrNo

DATA = b"G28\nG1 X10 F3000\n" * 10
SHA = hashlib.sha256(DATA).hexdigest()
EPOCH = 1_800_000_000.0
TICK = 5.0


class ListServer:
    """The server's duties: offers copies to printers that are ready."""

    def __init__(self, farm, data=DATA, lease=LEASE_S):
        self.farm, self.data, self.lease = farm, data, lease
        self.jobs = JobList("sqlite://", lambda: EPOCH + asyncio.get_running_loop().time())
        weakref.finalize(self, self.jobs.close)  # tests read the list until their end
        self.sha = hashlib.sha256(data).hexdigest()
        self.jobs.put_file(FileFacts(sha256=self.sha, size=len(data), name="cube.gcode"))
        self.end = farm.server()
        self.reports = []
        self.claims = []
        self.presences = {}

    def submit(self, copies=1, **wishes):
        return self.jobs.add(JobRequest(sha256=self.sha, copies=copies, **wishes))

    def copies(self):
        return [copy for job in [*self.jobs.open_jobs(), *self.jobs.ended_jobs()] for copy in self.jobs.copies(job.id)]

    async def run(self):
        await asyncio.gather(self.end.run(self), self._poll())

    async def _poll(self):
        while True:
            await asyncio.sleep(TICK)
            self.jobs.expire()
            for copy in self.jobs.all_held_copies():
                if copy.wish == "cancel" and copy.state != "offered":
                    self.farm.begin(self._cancel(copy))
            for printer, presence in self.presences.items():
                await self.on_presence(printer, presence)

    async def _cancel(self, copy):
        with suppress(FarmUnreachable):
            await self.end.order(copy.printer, FarmOrder("cancel", copy.id))

    async def on_connected(self):
        pass

    async def on_presence(self, printer, presence):
        self.presences[printer] = presence
        if presence.ready and (offer := self.jobs.offer(printer, presence, self.lease)) is not None:
            with suppress(FarmUnreachable):
                await self.end.offer(printer, offer)

    async def read_chunk(self, printer, question):
        if self.jobs.file_for(printer, question.copy, question.attempt) is None:
            raise FarmRefused("this copy is not offered to this printer")
        await self.renew(printer, question)
        return self.data[question.offset : question.offset + CHUNK]

    async def renew(self, printer, question):
        return YesOrNo(yes=self.jobs.renew(printer, question.copy, question.attempt, self.lease))

    async def claim(self, printer, question):
        yes = self.jobs.claim(printer, question.copy, question.attempt, question.nonce)
        self.claims.append((printer, question, yes))
        return YesOrNo(yes=yes)

    async def find_holdings(self, printer):
        return Holdings(self.jobs.held_copies(printer))

    async def report(self, printer, report):
        self.reports.append((printer, report, self.jobs.report(printer, report)))
