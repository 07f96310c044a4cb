"""A firmware's answers to lines, by its `Speech`: acknowledgements and refusals."""

from collections.abc import Iterator

from hal.simulated.config import FirmwareConfig
from hal.simulated.receiver import LineRefusal, Receiver
from hal.simulated.speech import Speech


def refusal(speech: Speech, refused: LineRefusal | None, receiver: Receiver) -> Iterator[str]:
    """Yield the lines of a resend request; `refused` is the wrong line, None: no line was wrong, as with M999."""
    last = receiver.last_number
    values = {"last": last, "next": last + 1, "checksum": refused.checksum if refused else 0}
    reason = speech.lines.reasons.get(refused.reason, refused.reason) if refused else ""
    templates = speech.lines.refusal if reason else speech.lines.request or speech.lines.refusal[-2:]
    if refused:
        reason = reason.format(number=refused.number, **values)
    for template in templates:
        yield from template.format(reason=reason, **values).split("\n")


def ok(config: FirmwareConfig, number: int | None, last: int, free: int, places: int) -> str:
    """Return the acknowledgement of a line; the planner has room for `free` moves, and the queue for `places` lines."""
    if not config.advanced_ok:
        template = config.speech.ok
        values = {"number": "" if number is None else number, "last": last, "number_or_0": number or 0}
        return template if template == "ok" else template.format(**values).rstrip()
    room = f"P{free} B{places}"
    return f"ok {room}" if number is None else f"ok N{number} {room}"
