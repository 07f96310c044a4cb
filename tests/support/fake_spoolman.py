"""Spoolman's API in memory: spools that count in g, and the failures of a network.

It counts as Spoolman 0.23 does: `use_length` becomes g by diameter and density, the used weight never goes below 0, and
a use that is sent twice is counted twice.
"""

import asyncio
import json
import math
import re

from daemon.client.errors import Unreachable
from daemon.client.exchange import HttpAnswer


class FakeSpoolman:
    """A server without a socket.

    Attributes:
        used: g, by spool.
        uses: (spool, mm) of each use received.
        outcomes: of the next uses: "well", "away", "hangs", "late" (counted, never answered), "delayed" (as "late",
            but counted only when the next use comes), "error", "nonsense", "lies" (200, and nothing is counted),
            "redirect".
        read_outcomes: of the next requests that only read.
    """

    def __init__(self, *spools, weight=1000.0):
        self.used = dict.fromkeys(spools, 0.0)
        self.weight = weight
        self.material = "PLA"
        self.uses = []
        self.outcomes = []
        self.read_outcomes = []
        self.requests = []
        self._delayed = []

    def length(self, number):
        """Return the mm used of a spool."""
        return self.used[number] / self._per_mm()

    @staticmethod
    def _per_mm(diameter=1.75, density=1.24):
        return math.pi * (diameter / 2) ** 2 * density / 1000

    def spool(self, number):
        used = self.used[number]
        remaining = max(0.0, self.weight - used) if self.weight else None
        return {
            "id": number,
            "registered": "2026-01-01T00:00:00Z",
            "filament": {
                "id": 1,
                "registered": "2026-01-01T00:00:00Z",
                "name": "Galaxy Black",
                "vendor": {"id": 1, "registered": "2026-01-01T00:00:00Z", "name": "Prusament", "extra": {}},
                "material": self.material,
                "density": 1.24,
                "diameter": 1.75,
                "color_hex": "29B2B2",
                "extra": {},
            },
            "used_weight": used,
            "used_length": used / self._per_mm(),
            **(
                {"remaining_weight": remaining, "remaining_length": remaining / self._per_mm()}
                if remaining is not None
                else {}
            ),
            "archived": False,
            "extra": {},
        }

    async def send(self, request):
        self.requests.append((request.method, request.url))
        outcomes = self.outcomes if request.method == "PUT" else self.read_outcomes
        return await self._do(request, outcomes.pop(0) if outcomes else "well")

    def close(self):
        pass

    async def _do(self, request, outcome):
        if outcome == "away":
            raise Unreachable(f"no answer to {request}")
        if outcome == "hangs":
            await asyncio.Event().wait()
        if outcome == "error":
            return HttpAnswer(500, {}, b'{"message": "database is locked"}')
        if outcome == "redirect":
            return HttpAnswer(302, {"location": "http://evil.example/"}, b"")
        if outcome == "nonsense":
            return HttpAnswer(200, {}, b'{"id": 1, "filament": [], "used_length": "NaN"}')
        match = re.fullmatch(r".*/api/v1/spool(?:/(\d+))?(/use)?(?:\?.*)?", request.url)
        if match is None:
            return HttpAnswer(404, {}, b'{"detail": "Not Found"}')
        if match[1] is None:
            return self._json([self.spool(each) for each in self.used])
        number = int(match[1])
        if number not in self.used:
            return HttpAnswer(404, {}, b'{"message": "No spool with ID %d found."}' % number)
        if match[2]:
            return await self._use(number, json.loads(request.body), outcome)
        return self._json(self.spool(number))

    async def _use(self, number, use, outcome):
        if ("use_length" in use) == ("use_weight" in use):
            return HttpAnswer(400, {}, b'{"message": "Only specify either use_weight or use_length."}')
        mm = use["use_length"]
        self.uses.append((number, mm))
        while self._delayed:
            self._count(*self._delayed.pop())
        if outcome == "lies":
            return self._json(self.spool(number))
        if outcome == "delayed":
            self._delayed.append((number, mm))
            await asyncio.Event().wait()
        self._count(number, mm)
        if outcome == "late":
            await asyncio.Event().wait()
        return self._json(self.spool(number))

    def _count(self, number, mm):
        self.used[number] = max(0.0, self.used[number] + mm * self._per_mm())

    @staticmethod
    def _json(value):
        return HttpAnswer(200, {"content-type": "application/json"}, json.dumps(value).encode())
