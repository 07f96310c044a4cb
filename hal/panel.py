"""Panel: what the printer does and shows without being asked: a print from its own SD card, messages, prompts.

It is told the replies that concern it, and keeps what is known. All of it is the printer's word, and bounded.
"""

from dataclasses import replace

from gcode.replies import HostAction, Reply, SdDone, SdIdle, SdOpened, SdProgress, SdSelected, UnknownCommand
from hal.printer import PanelPrint, Prompt

MAX_TEXT = 250
MAX_CHOICES = 16
"""Characters of a name, a message or a choice, and choices of a prompt, that are kept."""

IDLE_REPORTS = 3
"""Reports of no print in a row that end one: Marlin may give one or two between the file and its first line."""


class Panel:
    """What the printer does by itself.

    Attributes:
        print: what it prints from its SD card.
        message: the last one that it had for the user.
        prompt: the question that it shows.
    """

    def __init__(self) -> None:
        self.print: PanelPrint | None = None
        self.message: str | None = None
        self.prompt: Prompt | None = None
        self._draft: Prompt | None = None  # a prompt that is not complete
        self._opened: PanelPrint | None = None
        self._idle = 0
        self._doubtful = 0  # times that a print which was ordered is still asked for

    def note(self, reply: Reply, *, asked: bool) -> bool:
        """Take a reply about the SD card; tell whether a print began or ended by it.

        Args:
            reply: any reply; most are of no concern.
            asked: the host itself has selected a file, which alone begins no print.
        """
        before = self.print
        match reply:
            case SdOpened(name=name, size=size):
                self._opened = PanelPrint(name.rpartition("/")[2][:MAX_TEXT], 0, size)
            case SdSelected() if self._opened is not None and not asked:
                self._begin(self._opened)
            case SdProgress(position=position, total=total) if total:
                self._begin(PanelPrint(self._name_of(total), position, total))
            case SdIdle():
                self._count_idle()
            case SdDone() | UnknownCommand(command="M27"):  # who does not know M27 would never say that it is over
                self.print = None
        return (before is None) != (self.print is None)

    def order(self) -> bool:
        """Take it that a print begins, as a client has told the printer so; tell whether none was known."""
        if self.print is not None:
            return False
        self._begin(self._opened or PanelPrint(None, 0, 0))
        self._doubtful = IDLE_REPORTS
        return True

    @property
    def is_doubtful(self) -> bool:
        """The print was ordered, and the printer has not said yet that there is one."""
        return self.print is not None and self._doubtful > 0

    def ask(self) -> bool:
        """Take note that it is asked once more; who never answers prints nothing: tell whether a print ended so."""
        if not self.is_doubtful:
            return False
        self._doubtful -= 1
        if self._doubtful == 0:
            self.print = None
        return self.print is None

    def _begin(self, found: PanelPrint) -> None:
        self.print = found
        self._idle = self._doubtful = 0

    def _name_of(self, total: int) -> str | None:
        """Return the name of the file that was opened last, if it is this one by its size."""
        return self._opened.name if self._opened is not None and self._opened.total == total else None

    def _count_idle(self) -> None:
        self._idle += 1
        if self._idle >= IDLE_REPORTS:
            self.print = None

    def act(self, action: HostAction) -> None:
        """Take a message, or a piece of a prompt; other actions are of no concern."""
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

    def answered(self) -> None:
        """Take note that the user has answered: Marlin goes on, and does not say that the question is over."""
        self._draft = self.prompt = None


def _with_choice(prompt: Prompt, text: str) -> Prompt:
    """Return the prompt with one answer more; Klipper's is `label|command|colour`, the command may be missing."""
    if len(prompt.choices) >= MAX_CHOICES:
        return prompt
    label, *rest = text.split("|")
    command = (rest[0] or label) if rest else ""
    return replace(prompt, choices=(*prompt.choices, label), commands=(*prompt.commands, command))
