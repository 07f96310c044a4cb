"""Spoolman's API, after its own description: spools that count in g, and what a network can make of it.

It counts as Spoolman 0.23 does: `use_length` becomes g by diameter and density, what is used never goes below 0, and a
use that is asked for twice is counted twice.
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
        used: g that were used, by spool.
        puts: the uses that arrived.
        mood: what it does with the next requests, one each: "well", "away", "hangs", "late" (counts, and never
            answers), "delayed" (as late, but counts only when it is asked for a use again), "error", "nonsense",
            "lies" (says 200 and counts nothing), "redirect".
    """

    def __init__(self, *spools, weight=1000.0):
        self.used = dict.fromkeys(spools, 0.0)
        self.weight = weight
        self.material = "PLA"
        self.puts = []
        self.mood = []
        self.reads = []  # moods of what only asks
        self.asked = []
        self._delayed = []

    def length(self, number):
        """Return the mm that were used of a spool."""
        return self.used[number] / self._per_mm()

    @staticmethod
    def _per_mm(diameter=1.75, density=1.24):
        return math.pi * (diameter / 2) ** 2 * density / 1000

    def told(self, number):
        used = self.used[number]
        left = max(0.0, self.weight - used) if self.weight else None
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
            **({"remaining_weight": left, "remaining_length": left / self._per_mm()} if left is not None else {}),
            "archived": False,
            "extra": {},
        }

    async def send(self, request):
        self.asked.append((request.method, request.url))
        moods = self.mood if request.method == "PUT" else self.reads
        return await self._do(request, moods.pop(0) if moods else "well")

    def close(self):
        pass

    async def _do(self, request, mood):
        if mood == "away":
            raise Unreachable(f"no answer to {request}")
        if mood == "hangs":
            await asyncio.Event().wait()
        if mood == "error":
            return HttpAnswer(500, {}, b'{"message": "database is locked"}')
        if mood == "redirect":
            return HttpAnswer(302, {"location": "http://evil.example/"}, b"")
        if mood == "nonsense":
            return HttpAnswer(200, {}, b'{"id": 1, "filament": [], "used_length": "NaN"}')
        found = re.fullmatch(r".*/api/v1/spool(?:/(\d+))?(/use)?(?:\?.*)?", request.url)
        if found is None:
            return HttpAnswer(404, {}, b'{"detail": "Not Found"}')
        if found[1] is None:
            return self._json([self.told(each) for each in self.used])
        number = int(found[1])
        if number not in self.used:
            return HttpAnswer(404, {}, b'{"message": "No spool with ID %d found."}' % number)
        if found[2]:
            return await self._use(number, json.loads(request.body), mood)
        return self._json(self.told(number))

    async def _use(self, number, asked, mood):
        if ("use_length" in asked) == ("use_weight" in asked):
            return HttpAnswer(400, {}, b'{"message": "Only specify either use_weight or use_length."}')
        mm = asked["use_length"]
        self.puts.append((number, mm))
        while self._delayed:
            self._count(*self._delayed.pop())
        if mood == "lies":
            return self._json(self.told(number))
        if mood == "delayed":
            self._delayed.append((number, mm))
            await asyncio.Event().wait()
        self._count(number, mm)
        if mood == "late":
            await asyncio.Event().wait()
        return self._json(self.told(number))

    def _count(self, number, mm):
        self.used[number] = max(0.0, self.used[number] + mm * self._per_mm())

    @staticmethod
    def _json(value):
        return HttpAnswer(200, {"content-type": "application/json"}, json.dumps(value).encode())
