"""Collects the objects that a file marks, each once, however often and in whatever form it is marked.

A slicer may mark one object by comments (`printing object part.stl id:0 copy 0`), for Marlin (`M486 S0`, then
`M486 Apart.stl`) and for Klipper (`EXCLUDE_OBJECT_DEFINE NAME=part_stl_id_0_copy_0`) in the same file.
"""

import re

MAX_OBJECTS = 1000
_MAX_NAME = 200  # characters

_COMMENT = re.compile(r"(?:printing object|MESH:|PRINTING:) ?(.*)", re.IGNORECASE)
_COPY = re.compile(r"(?: id:\d+)?(?: copy \d+| \(Instance \d+\))?$")
_KLIPPER_COPY = re.compile(r"(?:_id_\d+)?(?:_copy_\d+|__Instance_\d+_)?$")
_NO_WORD = re.compile(r"[\W_]")
_NONE = frozenset({"", "nonmesh", "non-object"})


class Objects:
    """Collects marks; `names` are the objects."""

    def __init__(self) -> None:
        self._commented: dict[str, None] = {}  # by comments
        self._numbered: dict[int, str] = {}  # by M486
        self._unnumbered: dict[str, None] = {}  # by M486 A, outside any object of M486 S
        self._excludable: dict[str, None] = {}  # by Klipper's macros
        self._number: int | None = None

    def comment(self, text: str) -> bool:
        """Take a comment; tell whether it marks an object."""
        match = _COMMENT.match(text)
        if match is None:
            return False
        name = _COPY.sub("", match[1].strip()).strip()
        if name.lower() not in _NONE and len(self._commented) < MAX_OBJECTS:
            self._commented[name[:_MAX_NAME]] = None
        return True

    def m486(self, number: float | None, name: str | None) -> None:
        """Take `M486 S1` or `M486 Aname`: the number of the object that begins (negative: none), or its name."""
        if number is not None:
            self._number = int(number) if 0 <= number < MAX_OBJECTS else None
            if self._number is not None:
                self._numbered.setdefault(self._number, "")
        if name:
            name = _COPY.sub("", name.strip().strip('"'))[:_MAX_NAME]
            if self._number is not None:
                self._numbered[self._number] = name
            elif len(self._unnumbered) < MAX_OBJECTS:
                self._unnumbered[name] = None

    def excludable(self, name: str) -> None:
        """Take Klipper's name of an object."""
        name = name.strip("'\"")[:_MAX_NAME]
        if name and len(self._excludable) < MAX_OBJECTS:
            self._excludable[name] = None

    @property
    def names(self) -> tuple[str, ...]:
        """Each object once, by its most readable name, or by its number if it has no name."""
        names: dict[str, str] = {}
        for name in (*self._commented, *filter(None, self._numbered.values()), *self._unnumbered):
            names.setdefault(_key(name), name)
        for name in self._excludable:
            if _key(_KLIPPER_COPY.sub("", name)) not in names:
                names.setdefault(name, name)
        if not names:
            names = {str(number): f"object {number}" for number in self._numbered}
        return tuple(names.values())[:MAX_OBJECTS]


def _key(name: str) -> str:
    """Return a name reduced to the characters that Klipper's form keeps, to compare names."""
    return _NO_WORD.sub("_", name).casefold()
