"""The texts of notices, in English and German: a title on one line, and a short body. Pure."""

from collections.abc import Mapping
from typing import Any

from daemon.companions.notify.notices import UserNotice, one_line

LANGUAGES = ("en", "de")

_TITLES = {
    "en": {
        "done": "{file} is done",
        "failed": "{file} has failed",
        "interrupted": "{file} was interrupted",
        "cancelled": "{file} was cancelled",
        "paused": "{file} is paused",
        "back": "{file} continues",
        "warning": "Check {file}",
        "bed": "Please clear the bed",
        "halted": "The printer has halted",
        "trouble": "Danger: check the printer now",
        "stop": "The emergency stop was not confirmed",
        "disk": "The disk is nearly full",
        "runout": "{file}: the filament has run out",
        "cut": "{device} was switched off in an emergency",
        "not_cut": "{device} could not be switched off in an emergency",
        "power_soon": "{device} is about to be switched off",
        "power_off": "{device} is switched off",
        "power_stays": "{device} could not be switched off",
        "test": "A test",
    },
    "de": {
        "done": "{file} ist fertig",
        "failed": "{file} ist gescheitert",
        "interrupted": "{file} wurde unterbrochen",
        "cancelled": "{file} wurde abgebrochen",
        "paused": "{file} ist pausiert",
        "back": "{file} geht weiter",
        "warning": "Bitte {file} prüfen",
        "bed": "Bitte das Bett freimachen",
        "halted": "Der Drucker hat sich selbst gestoppt",
        "trouble": "Gefahr: bitte sofort den Drucker prüfen",
        "stop": "Der Not-Halt wurde nicht bestätigt",
        "disk": "Die Platte ist fast voll",
        "runout": "{file}: das Filament ist zu Ende",
        "cut": "{device} wurde im Notfall abgeschaltet",
        "not_cut": "{device} ließ sich im Notfall nicht abschalten",
        "power_soon": "{device} wird gleich abgeschaltet",
        "power_off": "{device} ist abgeschaltet",
        "power_stays": "{device} ließ sich nicht abschalten",
        "test": "Ein Test",
    },
}

_BODIES = {
    "en": {
        "back": "The connection to the printer was lost and is back.",
        "bed": "{file} is next in the queue and starts when the bed is confirmed to be clear.",
        "runaway": "Thermal runaway: turn the printer off, and check heater and thermistor before the next print.",
        "stop": "Cut the printer's power if it moves or heats.",
        "not_cut": "Cut the printer's power by hand.",
        "power_soon": "The printer is idle and cold. Any command keeps it on.",
        "disk": "Only {free} free. Delete files, or prints and timelapses will fail.",
        "test": "This is what messages from this printer look like.",
        "took": "It took {time}.",
        "after": "After {time}.",
        "filament": "Filament: {filament}.",
        "at": "At {share} %.",
        "more": "{count} more of this kind were not sent.",
    },
    "de": {
        "back": "Die Verbindung zum Drucker war verloren und ist wieder da.",
        "bed": "{file} ist als Nächstes dran und startet, sobald jemand bestätigt, dass das Bett frei ist.",
        "runaway": "Thermal Runaway: den Drucker ausschalten; vor dem nächsten Druck Heizung und Fühler prüfen.",
        "stop": "Wenn er sich bewegt oder heizt: Strom abschalten.",
        "not_cut": "Bitte den Strom von Hand abschalten.",
        "power_soon": "Der Drucker ist unbenutzt und kalt. Jeder Befehl verhindert das.",
        "disk": "Noch {free} frei. Dateien löschen, sonst scheitern Drucke und Zeitraffer.",
        "test": "So sehen Nachrichten dieses Druckers aus.",
        "took": "Dauer: {time}.",
        "after": "Nach {time}.",
        "filament": "Filament: {filament}.",
        "at": "Bei {share} %.",
        "more": "{count} weitere dieser Art wurden nicht gemeldet.",
    },
}

_ENDS = ("done", "failed", "interrupted", "cancelled")
_MINUTE = 60
_MIN_GRAMS = 0.5  # slicers that know no density write less
_METRE, _MIB, _GIB = 1000, 2**20, 2**30


def title_of(notice: UserNotice, language: str) -> str:
    """Return the title: the printer, and the event."""
    about = notice.about
    named = {"file": one_line(about.get("file") or "?", 80), "device": one_line(about.get("device") or "?", 40)}
    title = _TITLES[language][notice.what].format_map(named)
    printer = one_line(about.get("printer"), 40)
    return f"{printer}: {title}" if printer else title


def body_of(notice: UserNotice, language: str, unsent_count: int = 0) -> str:
    """Return the body: reason, duration, filament.

    Args:
        notice: the event.
        language: one of LANGUAGES.
        unsent_count: number of earlier notices of this class that were not sent.
    """
    words, about = _BODIES[language], notice.about
    lines = [_first_line(notice, words)]
    if reason := one_line(about.get("reason")):
        lines.append(reason[:1].upper() + reason[1:] + ("" if reason[-1] in ".!?…" else "."))
    if (seconds := about.get("seconds")) is not None and notice.what in _ENDS:
        lines.append(words["took" if notice.what == "done" else "after"].format(time=duration(seconds)))
    if (share := about.get("share")) is not None:
        lines.append(words["at"].format(share=round(share)))
    if used := _filament(about.get("filament") or (), language):
        lines.append(words["filament"].format(filament=used))
    if unsent_count:
        lines.append(words["more"].format(count=unsent_count))
    return "\n".join(filter(None, lines))


def _first_line(notice: UserNotice, words: Mapping[str, str]) -> str:
    about = notice.about
    if notice.what == "halted":
        return words["runaway"] if about.get("halt") == "runaway" else ""
    if notice.what not in words:
        return ""
    return words[notice.what].format_map({"file": one_line(about.get("file") or "?"), "free": size(about.get("free"))})


def duration(seconds: float) -> str:
    """Return a duration for users: 3 h 12 min, 4 min, 20 s."""
    whole = max(0, round(seconds))
    if whole < _MINUTE:
        return f"{whole} s"
    hours, minutes = divmod(round(whole / _MINUTE), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def size(amount: float | None) -> str:
    """Return a number of bytes for users."""
    if amount is None:
        return "?"
    return f"{amount / _GIB:.1f} GiB" if amount >= _GIB else f"{amount / _MIB:.0f} MiB"


def _filament(used: Any, language: str) -> str:
    """Return the filament that each tool has used: 12.3 m, 36 g PLA."""
    shown = []
    for each in used:
        if not each.get("length"):
            continue
        length = f"{each['length'] / _METRE:.1f} m"
        weight = f", {each['weight']:.0f} g" if (each.get("weight") or 0) >= _MIN_GRAMS else ""
        material = f" {one_line(each['material'], 20)}" if each.get("material") else ""
        shown.append((length.replace(".", ",") if language == "de" else length) + weight + material)
    return " + ".join(shown)
