"""All checks, in the order in which a user would look."""

from collections.abc import Iterator

from daemon.doctor import cameras, companions, computer, ports, service
from daemon.doctor.finding import Check, Finding, Subject, note
from daemon.doctor.view import View

CHECKS: tuple[Check, ...] = (*service.CHECKS, *ports.CHECKS, *computer.CHECKS, *cameras.CHECKS, *companions.CHECKS)


def findings(view: View, subject: Subject) -> Iterator[Finding]:
    """Yield the findings of all checks; a check that fails does not stop the others."""
    for check in CHECKS:
        try:
            yield from list(check(view, subject))
        except Exception as error:  # noqa: BLE001 - a machine in trouble may answer anything
            yield note(f"the check {check.__name__!r} itself failed: {error!r}", "please report this bug")
