"""A firmware's answers to lines, by its `Speech`: acknowledgements and refusals."""

from collections.abc import Iterator

from hal.simulated.config import FirmwareConfig
from hal.simulated.receiver import LineRefusal, Receiver
from hal.simulated.speech import Speech


def resend_request(speech: Speech, refusal: LineRefusal | None, receiver: Receiver) -> Iterator[str]:
    """Yield the lines of a resend request; `refusal` is that of a wrong line; None: no line was wrong, as with M999."""
    last = receiver.last_number
    values = {"last": last, "next": last + 1, "checksum": refusal.checksum if refusal else 0}
    reason = speech.lines.reasons.get(refusal.reason, refusal.reason) if refusal else ""
    templates = speech.lines.refusal if reason else speech.lines.request or speech.lines.refusal[-2:]
    if refusal:
        reason = reason.format(number=refusal.number, **values)
    for template in templates:
        yield from template.format(reason=reason, **values).split("\n")


def acknowledgement(config: FirmwareConfig, number: int | None, last: int, free: int, queue_room: int) -> str:
    """Return the acknowledgement of a line; `free` and `queue_room`: the room for moves and lines."""
    if not config.advanced_ok:
        template = config.speech.ok
        values = {"number": "" if number is None else number, "last": last, "number_or_0": number or 0}
        return template if template == "ok" else template.format(**values).rstrip()
    room = f"P{free} B{queue_room}"
    return f"ok {room}" if number is None else f"ok N{number} {room}"
