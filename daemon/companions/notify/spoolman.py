"""The part of Spoolman's API that is needed: spools, and reports of their use. The answers are validated."""

import asyncio
import json
import math
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

from daemon.client.caller import base_url
from daemon.client.errors import ClientError, Unreachable
from daemon.client.exchange import Exchange, HttpAnswer, Request
from daemon.companions.notify.notices import one_line
from daemon.errors import ConfigError
from gcode.errors import NozzledError

TIMEOUT = 10.0
MAX_ANSWER = 8 * 1024 * 1024  # bytes
MAX_SPOOLS = 300  # the newest; all of them go through the front at once

_REFUSALS = (400, 404, 405, 409, 422)


class SpoolmanAway(NozzledError):
    """Spoolman gave no valid answer; the request may have been carried out."""


class SpoolmanRefused(NozzledError):
    """Spoolman refused the request, and nothing was done. `is_gone`: there is no such spool."""

    def __init__(self, text: str, *, is_gone: bool = False) -> None:
        super().__init__(text)
        self.is_gone = is_gone


@dataclass(frozen=True, slots=True)
class Spool:
    """A spool: lengths in mm, weights in g. `left_…` is None if the initial amount is unknown."""

    id: int
    name: str
    material: str | None
    vendor: str | None
    colour: str | None
    used_length: float
    used_weight: float
    left_length: float | None
    left_weight: float | None
    archived: bool

    def as_json(self) -> dict[str, Any]:
        """Return the spool for clients."""
        return asdict(self)


class Spoolman:
    """A Spoolman server."""

    def __init__(self, url: str, exchange: Exchange) -> None:
        """Prepare; nothing is sent.

        Raises:
            ConfigError: the address is wrong.
        """
        try:
            self._url = base_url(url) + "/api/v1"
        except ClientError as error:
            raise ConfigError(f"spoolman.url: {error}") from error
        if "@" in urlsplit(self._url).netloc:
            raise ConfigError("spoolman.url: a user and password do not belong in the configuration file")
        self._exchange = exchange

    async def get_spools(self) -> list[Spool]:
        """Return the spools that are not archived, at most the newest MAX_SPOOLS.

        Raises:
            SpoolmanAway, SpoolmanRefused: there is no list.
        """
        spools = await self._ask("GET", "/spool?allow_archived=false")
        if not isinstance(spools, list):
            raise SpoolmanAway("Spoolman's answer is not a list of spools")
        return [spool_of(each) for each in spools[-MAX_SPOOLS:]]

    async def get_spool(self, number: int) -> Spool:
        """Return one spool; raises SpoolmanAway, SpoolmanRefused."""
        return self._check_number(await self._ask("GET", f"/spool/{number}"), number)

    async def report_use(self, number: int, mm: float) -> Spool:
        """Report a used length; return the spool after it.

        Raises:
            SpoolmanAway: it is unknown whether the report was counted.
            SpoolmanRefused: it was not counted.
        """
        return self._check_number(await self._ask("PUT", f"/spool/{number}/use", {"use_length": round(mm, 2)}), number)

    @staticmethod
    def _check_number(answer: Any, number: int) -> Spool:
        spool = spool_of(answer)
        if spool.id != number:
            raise SpoolmanAway(f"Spoolman was asked for spool {number} and answered with {spool.id}")
        return spool

    async def _ask(self, method: str, path: str, data: dict[str, Any] | None = None) -> Any:
        body = json.dumps(data).encode() if data is not None else None
        headers = {"Content-Type": "application/json"} if body is not None else {}
        try:
            async with asyncio.timeout(TIMEOUT):
                answer = await self._exchange.send(Request(method, self._url + path, headers, body, TIMEOUT))
        except TimeoutError as error:
            raise SpoolmanAway(f"Spoolman did not answer within {TIMEOUT:g} s") from error
        except (Unreachable, OSError, ValueError) as error:
            raise SpoolmanAway(f"Spoolman does not answer at {self._url}") from error
        return _read_content(answer)


def _read_content(answer: HttpAnswer) -> Any:
    if answer.status in _REFUSALS:
        is_gone = answer.status == 404  # noqa: PLR2004 - HTTP's own
        raise SpoolmanRefused(f"Spoolman: {answer.status} {_message(answer.body)}".rstrip(), is_gone=is_gone)
    if answer.status != 200:  # noqa: PLR2004 - as above
        raise SpoolmanAway(f"Spoolman answers {answer.status}")
    try:
        if len(answer.body) > MAX_ANSWER:
            raise ValueError  # noqa: TRY301 - as an answer that is not JSON
        return json.loads(answer.body)
    except (ValueError, RecursionError) as error:
        raise SpoolmanAway("Spoolman's answer is not JSON") from error


def _message(body: bytes) -> str:
    try:
        return one_line(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""


def spool_of(data: Any) -> Spool:
    """Return the spool that Spoolman's JSON describes.

    Raises:
        SpoolmanAway: the JSON is wrong.
    """
    try:
        filament = data["filament"]
        vendor = (filament.get("vendor") or {}).get("name")
        return Spool(
            id=_whole(data["id"]),
            name=one_line(filament.get("name"), 60),
            material=one_line(filament["material"], 30) if filament.get("material") else None,
            vendor=one_line(vendor, 40) if vendor else None,
            colour=one_line(filament["color_hex"], 8) if filament.get("color_hex") else None,
            used_length=_number(data["used_length"]),
            used_weight=_number(data["used_weight"]),
            left_length=_number_or_none(data.get("remaining_length")),
            left_weight=_number_or_none(data.get("remaining_weight")),
            archived=data.get("archived") is True,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SpoolmanAway("Spoolman's answer does not describe a spool") from error


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError
    return value


def _number(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value) or value < 0:
        raise ValueError
    return float(value)


def _number_or_none(value: Any) -> float | None:
    return None if value is None else _number(value)
