"""The questions that the front asks the core. Each has one answer, or is refused."""

from typing import Any, ClassVar

import msgspec

from daemon.bridge.frames import MAX_QUESTION
from daemon.bridge.messages import QuestionMessage, encode
from daemon.bridge.snapshot import Struct
from daemon.bridge.words import FileMark, FileStatistics, KeyedPrint, PastPrint, PortOptions, PrintRecord, Selection
from gcode.errors import CommandError
from gcode.outgoing import is_stop


class ConversationLines(Struct, frozen=True):
    """Lines of the conversation with the printer, oldest first.

    Attributes:
        until: the core's present time in s; the next question for lines has it as `since`.
    """

    lines: list[str]
    until: float


class Traffic(Struct, frozen=True):
    """Lines between host and printer.

    Attributes:
        lines: for each line its direction (`>` from the host, `<` from the printer), the core's time in s at which it
            was complete, and its text.
        gap: earlier lines are missing.
        sent: how many lines of prints and commands the host has sent so far.
        until: the core's present time in s; the next question for lines has it as `since`.
    """

    lines: list[tuple[str, float, str]]
    gap: bool
    sent: int
    until: float


class Limits(Struct, frozen=True):
    """The printer's limits of motion, as it reports them.

    Attributes:
        settings: the commands (M201, M203, M204, M205) that would set these limits.
        firmware: the name of the firmware; empty: no printer has been asked.
        area: the printer's reach: `min` and `max` of X, Y and Z, in mm; None: not reported.
    """

    settings: tuple[str, ...] = ()
    firmware: str = ""
    area: dict[str, list[float]] | None = None


class ConnectionFigures(Struct, frozen=True):
    """Figures of the connection since it was opened, and of the core; times in s, None: not known.

    Attributes:
        answers: how many of the printer's answers were followed by a line of ours.
        p50: the median time from such an answer to our line; `p99`: the 99th percentile.
        late: how many of these times were longer than 20 ms.
        longest: the longest of these times.
        stall: the longest time for which the loop was busy, since the end of the last print.
        waits: how often lines of the last print had not been read from the disk in time.
        planner_empty: the number of moves that found the planner empty; None: the firmware does not report that.
        window_lines, window_bytes: the most that may be in flight.
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
"""Upper bounds, in s, of the intervals in which turnarounds are counted; the last interval has no bound."""


class CoreTally(Struct, frozen=True):
    """The core's counters, since its start or since the connection was opened; times in s.

    Attributes:
        began: the Unix time of the core's start.
        processor: the processor time that the core has used.
        memory: of the core, in bytes.
        underruns: how often the printer had room for lines that had not been read from the disk.
        starved: how long the printer waited for such lines in all.
        reattachments: how often prints lost their connection (`line_…`) or their host (`restart_…`) and continued
            (`…_resumed`) or ended (`…_ended`).
        stall_bounds: upper bounds of the intervals in which stalls of the loop are counted.
        stalls: how many stalls lie in each interval; the last one has no bound.
        stall_time: the sum of all stalls.
        turnarounds: how many times from an answer of the printer to our next line lie in each interval of TURNAROUNDS;
            the last interval has no bound.
        window_lines: the most lines that may be in flight; None: there is no printer.
    """

    began: float = 0.0
    processor: float = 0.0
    memory: int | None = None
    underruns: int = 0
    starved: float = 0.0
    reattachments: dict[str, int] = msgspec.field(default_factory=dict, name="came_back")
    stall_bounds: list[float] = msgspec.field(default_factory=list)
    stalls: list[int] = msgspec.field(default_factory=list)
    stall_time: float = msgspec.field(default=0.0, name="stalled")
    turnarounds: list[int] = msgspec.field(default_factory=list)
    window_lines: int | None = None


class Question(Struct, frozen=True, tag_field="ask"):
    """Base of the questions; `answer` is the type of the answer."""

    answer: ClassVar[Any] = type(None)

    @property
    def is_never_too_late(self) -> bool:
        """Tell whether the question is carried out even after its client has given up."""
        return False


class Connect(Question, tag="connect", frozen=True):
    """Connect in the background; None: as configured.

    Attributes:
        find: find the baudrate, by trying the usual ones.
        save: connect to this port at later starts too, if a printer answers there and the configuration names none.
    """

    port: str | None = None
    baudrate: int | None = None
    find: bool = False
    save: bool = False


class Disconnect(Question, tag="disconnect", frozen=True):
    """Close the connection, after ending a running job."""


class ListPorts(Question, tag="ports", frozen=True):
    """What a client may connect to."""

    answer: ClassVar[Any] = PortOptions


MAX_COMMANDS = 256
"""Commands of one `Send`: the printer's queue takes no more."""


class Send(Question, tag="send", frozen=True):
    """Queue a client's commands, all or none; an M112 among them stops the printer at once."""

    commands: list[str]

    @property
    def is_never_too_late(self) -> bool:
        """An emergency stop is carried out, however late it arrives."""
        return any(is_stop(each) for each in self.commands)


class AnswerPrompt(Question, tag="answer_prompt", frozen=True):
    """Answer the question that the printer shows, by number from 0; the core does not wait for the printer."""

    choice: int


class AskConversation(Question, tag="conversation", frozen=True):
    """The lines since `since`, which is `until` of an earlier answer; 0: the last lines."""

    since: float
    answer: ClassVar[Any] = ConversationLines


class AskLimits(Question, tag="limits", frozen=True):
    """The printer's limits of motion, as it reports them."""

    answer: ClassVar[Any] = Limits


class Select(Question, tag="select", frozen=True):
    """Select the file that `Start` prints; None: unselect it."""

    file: Selection | None


class Start(Question, tag="start", frozen=True):
    """Print the selected file.

    With `checked_file` only this very file is printed, not another one that was selected or put in its place after the
    front had checked it.
    """

    checked_file: FileMark | None = None


class StartKeyed(Question, tag="begin", frozen=True):
    """Print a file (None: the selected one), unless a print with this key has begun before.

    This is another question than `Start`, so that a core too old for keys refuses it instead of beginning a print
    twice. With `bed` the print begins only if `Snapshot.bed` still has that value; `checked_file` is as in `Start`.
    """

    file: Selection | None
    key: str
    mark: str
    eject: bool = False
    bed: int | None = None
    checked_file: FileMark | None = None
    answer: ClassVar[Any] = KeyedPrint


class AskKey(Question, tag="key", frozen=True):
    """The job of the print with this key; None: there is none."""

    key: str
    answer: ClassVar[Any] = KeyedPrint | None


class AskRecord(Question, tag="record", frozen=True):
    """The recorded jobs after job `after`, oldest first, at most `limit`."""

    after: int
    limit: int
    answer: ClassVar[Any] = list[PrintRecord]


class Restart(Question, tag="restart", frozen=True):
    """Drop the paused job and print its file from the beginning; `checked_file` is as in `Start`."""

    checked_file: FileMark | None = None


class Pause(Question, tag="pause", frozen=True):
    """Pause the job."""


class Resume(Question, tag="resume", frozen=True):
    """Resume a paused job."""


class Toggle(Question, tag="toggle", frozen=True):
    """Pause a running job, resume a paused one."""


class Cancel(Question, tag="cancel", frozen=True):
    """End the job and turn the heaters off."""


class SetOffset(Question, tag="offset", frozen=True):
    """Add `offset` °C to the targets that files set for a heater."""

    heater: str
    offset: float


class UsePreset(Question, tag="use_preset", frozen=True):
    """Use the profile of a preset; None: the default profile."""

    preset: str | None


class ChangeProfile(Question, tag="change_profile", frozen=True):
    """Change values of the profile, by their keys in the section `profile` of the configuration."""

    values: dict[str, bool | int | float | str]


class AskStatistics(Question, tag="statistics", frozen=True):
    """How earlier prints of a file ended."""

    path: str
    answer: ClassVar[Any] = FileStatistics


class AskHistories(Question, tag="histories", frozen=True):
    """How earlier prints of files ended, by path, for the next files after the path `after`."""

    after: str = ""
    answer: ClassVar[Any] = dict[str, FileStatistics]


class AskHistory(Question, tag="history", frozen=True):
    """The last jobs, newest first, at most `limit`."""

    limit: int
    answer: ClassVar[Any] = list[PastPrint]


class AskTraffic(Question, tag="listen", frozen=True):
    """The lines between host and printer, complete ones only, since `until` of an earlier answer."""

    since: float
    answer: ClassVar[Any] = Traffic


class AskConnectionFigures(Question, tag="line", frozen=True):
    """The figures of the connection."""

    answer: ClassVar[Any] = ConnectionFigures


class AskTally(Question, tag="tallied", frozen=True):
    """The core's counters."""

    answer: ClassVar[Any] = CoreTally


AnyQuestion = (
    Connect | Disconnect | ListPorts | Send | AnswerPrompt | AskConversation | AskLimits | Select | Start
    | Restart | Pause
    | Resume | Toggle | Cancel | SetOffset | UsePreset | ChangeProfile | AskStatistics | AskHistories | AskHistory
    | AskTraffic | AskConnectionFigures | StartKeyed | AskKey | AskRecord | AskTally
)  # fmt: skip


def encode_question(number: int, question: Question, before: float | None = None) -> bytes:
    """Return a question, encoded; after the time `before` the core refuses it.

    Raises:
        CommandError: the question is too long.
    """
    message = encode(QuestionMessage(id=number, question=msgspec.Raw(encode(question)), before=before))
    if len(message) > MAX_QUESTION:
        raise CommandError(f"the request has {len(message)} bytes; at most {MAX_QUESTION} are allowed")
    return message
