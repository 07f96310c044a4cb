"""Panel: what the printer does and shows unasked: a print from its own SD card, messages, prompts.

All of it comes from the printer's replies, which are not trusted: sizes are limited.
"""

from dataclasses import replace

from gcode.replies import HostAction, Reply, SdDone, SdIdle, SdOpened, SdPaused, SdProgress, SdSelected, UnknownCommand
from hal.printer import PanelPrint, Prompt

MAX_TEXT = 250
"""The most characters of a name, a message or a choice that are kept."""

MAX_CHOICES = 16
"""The most choices of a prompt that are kept."""

IDLE_REPORTS = 3
"""After this many reports of "not printing" in a row, a print has ended: Marlin may send two before its first line."""


class Panel:
    """The state of the printer's own panel.

    Attributes:
        print: the print from its SD card.
        message: its last message for the user.
        prompt: the question that it shows.
    """

    def __init__(self) -> None:
        self.print: PanelPrint | None = None
        self.message: str | None = None
        self.prompt: Prompt | None = None
        self._draft: Prompt | None = None  # a prompt that is not complete yet
        self._opened: PanelPrint | None = None  # the file opened last
        self._forgotten: PanelPrint | None = None  # does not count as a print again until its place changes
        self._idle = 0  # reports in a row that nothing is printed
        self._queries_left = 0  # until an unconfirmed print, which a client started, is dropped

    def note(self, reply: Reply, *, by_host: bool) -> bool:
        """Take a reply about the SD card; tell whether a print began or ended.

        Args:
            reply: any reply; most are of no concern.
            by_host: the host itself has selected a file, which does not begin a print.
        """
        before = self.print
        match reply:
            case SdOpened(name=name, size=size):
                self._opened = PanelPrint(name.rpartition("/")[2][:MAX_TEXT], 0, size)
            case SdSelected() if self._opened is not None and not by_host:
                self._begin(self._opened)
            case SdProgress(position=position, total=total) if total:
                self._note_place(PanelPrint(self._name_of(total), position, total))
            case SdPaused():
                self._begin(replace(self.print or self._opened or PanelPrint(None, 0, 0), is_paused=True))
            case SdIdle():
                self._count_idle()
            case SdDone() | UnknownCommand(command="M27"):  # without M27 the end of the print would never show
                self._end()
        return (before is None) != (self.print is None)

    def expect_print(self) -> bool:
        """Expect the print that a client has started; tell whether none was running."""
        if self.print is not None:
            return False
        self._begin(self._opened or PanelPrint(None, 0, 0))
        self._queries_left = IDLE_REPORTS
        return True

    @property
    def is_doubtful(self) -> bool:
        """A client started the print, and the printer has not confirmed it yet."""
        return self.print is not None and self._queries_left > 0

    def count_query(self) -> bool:
        """Count a query of a doubtful print; tell whether the print is dropped: the printer has not confirmed it."""
        if not self.is_doubtful:
            return False
        self._queries_left -= 1
        if self._queries_left == 0:
            self.print = None
        return self.print is None

    def forget_print(self) -> bool:
        """Forget the print, which does not run, until its place changes; tell whether there was one."""
        if self.print is None:
            return False
        self._forgotten, self.print = self.print, None
        return True

    @property
    def has_forgotten_print(self) -> bool:
        """A print was forgotten, and the printer still reports its place."""
        return self._forgotten is not None

    def _note_place(self, place: PanelPrint) -> None:
        """Take a place in a file. Marlin 1 and Repetier report one whenever a card is in, whether they print or not.

        Without a print, a place at the end is that of an earlier one, and byte 0 that of a file that a client selects.
        """
        if self.print is None:
            if 0 < place.position < place.total and place != self._forgotten:
                self._begin(place)
        elif place.position >= place.total and place.position == self.print.position:
            self._count_idle()  # the report of the end was lost
        else:
            self._begin(place)

    def _begin(self, panel_print: PanelPrint) -> None:
        self.print, self._forgotten = panel_print, None
        self._idle = self._queries_left = 0

    def _end(self) -> None:
        self.print = self._forgotten = None

    def _name_of(self, total: int) -> str | None:
        """Return the name of the file that was opened last if it has this size."""
        return self._opened.name if self._opened is not None and self._opened.total == total else None

    def _count_idle(self) -> None:
        self._idle += 1
        if self._idle >= IDLE_REPORTS:
            self._end()

    def note_action(self, action: HostAction) -> None:
        """Take a message or a part of a prompt; other actions are of no concern."""
        text, draft = action.argument[:MAX_TEXT], self._draft
        match action.name:
            case "notification":
                self.message = text
            case "prompt_begin":
                self._draft, self.prompt = Prompt(text), None
            case "prompt_text" if draft is not None:
                self._draft = replace(draft, text=f"{draft.text}: {text}"[:MAX_TEXT])
            case "prompt_choice" | "prompt_button" | "prompt_footer_button" if draft is not None:
                self._draft = _with_choice(draft, text)
            case "prompt_show":
                self.prompt = draft
            case "prompt_end":
                self._draft = self.prompt = None

    def end_prompt(self) -> None:
        """Remove the prompt: the user has answered it, and Marlin does not report its end."""
        self._draft = self.prompt = None


def _with_choice(prompt: Prompt, text: str) -> Prompt:
    """Return the prompt with one more choice; Klipper's is `label|command|colour`, where the command may be missing."""
    if len(prompt.choices) >= MAX_CHOICES:
        return prompt
    label, *commands = text.split("|")
    command = (commands[0] or label) if commands else ""
    return replace(prompt, choices=(*prompt.choices, label), commands=(*prompt.commands, command))
