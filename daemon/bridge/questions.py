"""What the front asks of the core; each question has one answer, or is refused."""

from typing import Any, ClassVar

import msgspec

from daemon.bridge.frames import MAX_QUESTION
from daemon.bridge.messages import QuestionMessage, encode
from daemon.bridge.snapshot import Struct
from daemon.bridge.words import FileStatistics, KeyedPrint, PastPrint, PortOptions, PrintRecord, Selection
from gcode.errors import CommandError
from gcode.outgoing import is_stop


class Talk(Struct, frozen=True):
    """Lines of the conversation with the printer, oldest first, and the core's time of the last of them, in s."""

    lines: list[str]
    until: float


class Overheard(Struct, frozen=True):
    """Lines between host and printer.

    Attributes:
        lines: of each `>` (from the host) or `<`, the core's time in s at which it was complete, and its text.
        gap: there were more before them, which are not kept.
        sent: how many lines of prints and commands the host has sent until now.
        until: the core's time now.
    """

    lines: list[tuple[str, float, str]]
    gap: bool
    sent: int
    until: float


class Limits(Struct, frozen=True):
    """What the printer says of itself.

    Attributes:
        settings: the commands (M201, M203, M204, M205) that would make it what it is.
        firmware: its name; empty: none has been asked.
        area: how far it goes: `min` and `max` of X, Y and Z, in mm; None: it does not say.
    """

    settings: tuple[str, ...] = ()
    firmware: str = ""
    area: dict[str, list[float]] | None = None


class LineFigures(Struct, frozen=True):
    """How the line does since it was opened, and the process that serves it; times in s, None where nobody knows.

    Attributes:
        answers: lines of the printer that were answered with lines, which the next three are about.
        p50: half of them were answered in so short a time; `p99`: nearly all.
        late: of them, those that took longer than 20 ms.
        longest: the longest time.
        stall: for which the core was busy with something else, at the longest, since the end of the last print.
        waits: times that lines of the last print were not read from the disk in time.
        planner_empty: moves that found nothing planned before them; None: the firmware does not tell.
        window_lines, window_bytes: what may be unanswered; 0: no limit.
        memory: of the core, in bytes.
    """

    answers: int = 0
    p50: float | None = None
    p99: float | None = None
    late: int = 0
    longest: float | None = None
    stall: float | None = None
    waits: int = 0
    planner_empty: int | None = None
    window_lines: int | None = None
    window_bytes: int | None = None
    memory: int | None = None


TURNAROUNDS = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02)
"""Seconds by which the times are counted in which the printer was answered; longer ones are not told apart."""


class CoreTally(Struct, frozen=True):
    """What the core has counted, since it began or since the line was opened; times in s.

    Attributes:
        began: when the core did: a date.
        processor: time of it that the core has used.
        memory: of the core, in bytes.
        underruns: times that the printer had room for lines that were not read from the disk yet.
        starved: for which it waited for them, in all.
        reattachments: prints whose line or host was gone, by what was gone and how it ended: `line_resumed` and so on.
        stall_bounds, stalls, stalled: times that the loop did not look for events: how many were no longer than each
            bound, those of earlier ones not counted, and behind the last what was longer; and their sum.
        turnarounds: in which the printer was answered: how many by TURNAROUNDS, in the same way.
        window_lines: that may be unanswered at once; 0: no limit; None: there is no printer.
    """

    began: float = 0.0
    processor: float = 0.0
    memory: int | None = None
    underruns: int = 0
    starved: float = 0.0
    reattachments: dict[str, int] = msgspec.field(default_factory=dict, name="came_back")
    stall_bounds: list[float] = msgspec.field(default_factory=list)
    stalls: list[int] = msgspec.field(default_factory=list)
    stalled: float = 0.0
    turnarounds: list[int] = msgspec.field(default_factory=list)
    window_lines: int | None = None


class Question(Struct, frozen=True, tag_field="ask"):
    """Base of what the front asks; `answer` is the type of what comes back."""

    answer: ClassVar[Any] = type(None)

    @property
    def is_never_too_late(self) -> bool:
        """Tell whether it is to be done also when whoever asked has given up."""
        return False


class Connect(Question, tag="connect", frozen=True):
    """Connect in the background; None: as configured.

    Attributes:
        find: the baudrate, by trying the usual ones.
        save: it is the given printer from there on, if it answers and none is configured.
    """

    port: str | None = None
    baudrate: int | None = None
    find: bool = False
    save: bool = False


class Disconnect(Question, tag="disconnect", frozen=True):
    """Close the line; a running job is ended before."""


class ListPorts(Question, tag="ports", frozen=True):
    """What may be connected to."""

    answer: ClassVar[Any] = PortOptions


MOST_COMMANDS = 256
"""Commands of one `Send`: more would not find room at the printer's."""


class Send(Question, tag="send", frozen=True):
    """Queue a client's commands, all or none; M112 among them stops the printer at once."""

    commands: list[str]

    @property
    def is_never_too_late(self) -> bool:
        """An emergency stop is done whenever it arrives."""
        return any(is_stop(each) for each in self.commands)


class AnswerPrompt(Question, tag="answer_prompt", frozen=True):
    """Answer the question that the printer shows, by number from 0; the core does not wait for the printer."""

    choice: int


class ConversationSince(Question, tag="conversation", frozen=True):
    """What went over the line since an earlier question: each answer says what to ask with the next time."""

    since: float
    answer: ClassVar[Any] = Talk


class AskLimits(Question, tag="limits", frozen=True):
    """What the printer itself says of its limits of motion."""

    answer: ClassVar[Any] = Limits


class Select(Question, tag="select", frozen=True):
    """Choose the file that `Start` prints; None: none."""

    file: Selection | None


class Start(Question, tag="start", frozen=True):
    """Print the selected file."""


class Begin(Question, tag="begin", frozen=True):
    """Print a file, None: the selected one, unless that was asked for with this key before.

    A core that has never heard of keys refuses it, as it could begin a print twice. With `bed` it begins only if
    nothing has come onto the bed since `Snapshot.bed` was this.
    """

    file: Selection | None
    key: str
    mark: str
    eject: bool = False
    bed: int | None = None
    answer: ClassVar[Any] = KeyedPrint


class AskKey(Question, tag="key", frozen=True):
    """What became of the print that was asked for with this key; None: there was none."""

    key: str
    answer: ClassVar[Any] = KeyedPrint | None


class AskRecord(Question, tag="record", frozen=True):
    """The jobs behind this one, oldest first, at most so many."""

    after: int
    limit: int
    answer: ClassVar[Any] = list[PrintRecord]


class Restart(Question, tag="restart", frozen=True):
    """Drop the paused job and print its file from the beginning."""


class Pause(Question, tag="pause", frozen=True):
    """Pause the job."""


class Resume(Question, tag="resume", frozen=True):
    """Go on with a paused job."""


class Toggle(Question, tag="toggle", frozen=True):
    """Pause a running job, go on with a paused one."""


class Cancel(Question, tag="cancel", frozen=True):
    """End the job and turn the heaters off."""


class SetOffset(Question, tag="offset", frozen=True):
    """Have so many °C added to the targets that files set for a heater."""

    heater: str
    offset: float


class UsePreset(Question, tag="use_preset", frozen=True):
    """Take the printer for one that is known by this name; None: for none."""

    preset: str | None


class ChangeProfile(Question, tag="change_profile", frozen=True):
    """Take these values for what the printer is, by their keys in the section `profile` of the configuration."""

    values: dict[str, bool | int | float | str]


class AskStatistics(Question, tag="statistics", frozen=True):
    """How earlier prints of a file went."""

    path: str
    answer: ClassVar[Any] = FileStatistics


class AskHistories(Question, tag="histories", frozen=True):
    """How earlier prints of the files went whose paths come after this one: of some, by path; none behind the last."""

    after: str = ""
    answer: ClassVar[Any] = dict[str, FileStatistics]


class AskHistory(Question, tag="history", frozen=True):
    """The last jobs, newest first, at most so many."""

    limit: int
    answer: ClassVar[Any] = list[PastPrint]


class Listen(Question, tag="listen", frozen=True):
    """The lines that were complete on the line to the printer since an earlier answer said `until`."""

    since: float
    answer: ClassVar[Any] = Overheard


class AskLine(Question, tag="line", frozen=True):
    """How the line does."""

    answer: ClassVar[Any] = LineFigures


class AskTallied(Question, tag="tallied", frozen=True):
    """What the core has counted."""

    answer: ClassVar[Any] = CoreTally


AnyQuestion = (
    Connect | Disconnect | ListPorts | Send | AnswerPrompt | ConversationSince | AskLimits | Select | Start
    | Restart | Pause
    | Resume | Toggle | Cancel | SetOffset | UsePreset | ChangeProfile | AskStatistics | AskHistories | AskHistory
    | Listen | AskLine | Begin | AskKey | AskRecord | AskTallied
)  # fmt: skip


def encode_question(number: int, question: Question, before: float | None = None) -> bytes:
    """Return a question as it crosses, for a core that gets to it `before` it is too late.

    Raises:
        CommandError: it is too long.
    """
    message = encode(QuestionMessage(id=number, question=msgspec.Raw(encode(question)), before=before))
    if len(message) > MAX_QUESTION:
        raise CommandError(f"the request has {len(message)} bytes; {MAX_QUESTION} may be sent at once")
    return message
