"""FileLoader: brings the farm's files to the printer, checks them there, and deletes old ones to make room."""

import asyncio
import hashlib
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from daemon.companions.farm.diary import Diary, StoredFile
from daemon.companions.farm.printer import FarmFile, PrinterApi, PrinterDeclined, PrinterUnreachable
from daemon.farm.carrier.ends import AgentEnd
from daemon.farm.carrier.errors import FarmRefused, FarmUnreachable
from daemon.farm.messages import Offer

RETRY_DELAY = 2.0  # until a server that did not answer is asked again
MAX_FILES = 20  # of the farm, stored at the printer
MIN_FREE = 64 << 20  # bytes that a file must leave free on the agent's disk
PART = ".part"


class OfferDeclined(Exception):
    """The offer is declined; `fits` is False if the printer cannot print the job at all."""

    def __init__(self, reason: str, *, fits: bool = True) -> None:
        super().__init__(reason)
        self.fits = fits


class FileLoader:
    """Brings files to the printer."""

    def __init__(self, end: AgentEnd, printer: PrinterApi, diary: Diary, folder: Path) -> None:
        """Delete unfinished files of an earlier process; raises OSError."""
        self._end, self._printer, self._diary, self._folder = end, printer, diary, folder
        for path in folder.glob(f"*{PART}"):
            path.unlink()

    async def prepare(self, offer: Offer, require_offer: Callable[[], None]) -> str:
        """Bring the offered file to the printer and check it; return its path there.

        Args:
            offer: names the file.
            require_offer: raises an exception if the offer has ended.

        Raises:
            OfferDeclined: the file cannot be loaded, or should not be printed here.
            PrinterUnreachable: the printer's service does not answer.
        """
        try:
            stored = await self._find_stored(offer) or await self._load(offer, require_offer)
            objection = await self._printer.find_objections(stored.printer_path)
        except (FarmRefused, PrinterDeclined) as error:
            require_offer()  # if the offer has ended, that is why the server refuses the file
            raise OfferDeclined(str(error)) from error
        except OSError as error:
            raise OfferDeclined(f"the agent's disk: {error.strerror or error}") from error
        if objection:
            raise OfferDeclined(objection, fits=False)
        return stored.printer_path

    async def _find_stored(self, offer: Offer) -> StoredFile | None:
        stored = self._diary.notes.files.get(offer.sha256)
        if stored is None or not await self._printer.has_file(stored.printer_path, stored.sha1, stored.size):
            return None
        if next(reversed(self._diary.notes.files)) != offer.sha256:  # else the diary need not be written
            others = {key: value for key, value in self._diary.notes.files.items() if key != offer.sha256}
            self._diary.note(files={**others, offer.sha256: stored})
        return stored

    async def _load(self, offer: Offer, require_offer: Callable[[], None]) -> StoredFile:
        path = self._folder / f"file{PART}"
        try:
            file = await self._fetch(offer, path, require_offer)
            stored = StoredFile(self._printer.path_for(file), file.sha1, file.size)
            await self._make_room(offer.sha256, stored)
            require_offer()
            printer_path = await self._printer.upload(path, file)
        finally:
            path.unlink(missing_ok=True)
        if printer_path != stored.printer_path:
            stored = msgspec.structs.replace(stored, printer_path=printer_path)
            self._diary.note(files={**self._diary.notes.files, offer.sha256: stored})
        return stored

    async def _fetch(self, offer: Offer, path: Path, require_offer: Callable[[], None]) -> FarmFile:
        """Load the whole file to the agent's disk."""
        if shutil.disk_usage(self._folder).free < offer.size + MIN_FREE:
            raise OfferDeclined("the agent's disk has no room for the file")
        sha256, sha1, size = hashlib.sha256(), hashlib.sha1(usedforsecurity=False), 0
        with path.open("wb") as file:
            while size <= offer.size:
                require_offer()
                try:
                    chunk = await self._end.fetch_chunk(offer.copy, offer.attempt, size)
                except FarmUnreachable:
                    await asyncio.sleep(RETRY_DELAY)
                    continue
                if not chunk:
                    break
                size += len(chunk)
                file.write(chunk)
                sha256.update(chunk)
                sha1.update(chunk)
        if (size, sha256.hexdigest()) != (offer.size, offer.sha256):
            raise OfferDeclined(f"the server's file is not the one that it offered ({size} of {offer.size} bytes)")
        return FarmFile(offer.sha256, sha1.hexdigest(), size, offer.name)

    async def _make_room(self, sha256: str, stored: StoredFile) -> None:
        """Record a file before it is uploaded, and delete the least recently used files."""
        files = {key: value for key, value in self._diary.notes.files.items() if key != sha256}
        before = self._diary.notes.files.get(sha256)
        for oldest in [*files][: max(0, len(files) + 1 - MAX_FILES)]:
            with suppress(PrinterDeclined):  # it is being printed
                await self._printer.remove(files[oldest].printer_path)
                del files[oldest]
        if before is not None and before.printer_path != stored.printer_path:
            with suppress(PrinterDeclined, PrinterUnreachable):
                await self._printer.remove(before.printer_path)
        self._diary.note(files={**files, sha256: stored})
