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
    """Collects the marks of objects; `names` has their names."""

    def __init__(self) -> None:
        self._comment_names: dict[str, None] = {}  # by comments
        self._m486_names: dict[int, str] = {}  # by M486
        self._unnumbered_names: dict[str, None] = {}  # by M486 A, outside any object of M486 S
        self._klipper_names: dict[str, None] = {}  # by Klipper's macros
        self._number: int | None = None

    def take_comment(self, text: str) -> bool:
        """Take a comment; tell whether it marks an object."""
        match = _COMMENT.match(text)
        if match is None:
            return False
        name = _COPY.sub("", match[1].strip()).strip()
        if name.lower() not in _NONE and len(self._comment_names) < MAX_OBJECTS:
            self._comment_names[name[:_MAX_NAME]] = None
        return True

    def take_m486(self, number: float | None, name: str | None) -> None:
        """Take `M486 S1` or `M486 Aname`: the number of the object that begins (negative: no object), or its name."""
        if number is not None:
            self._number = int(number) if 0 <= number < MAX_OBJECTS else None
            if self._number is not None:
                self._m486_names.setdefault(self._number, "")
        if name:
            name = _COPY.sub("", name.strip().strip('"'))[:_MAX_NAME]
            if self._number is not None:
                self._m486_names[self._number] = name
            elif len(self._unnumbered_names) < MAX_OBJECTS:
                self._unnumbered_names[name] = None

    def take_klipper_name(self, name: str) -> None:
        """Take Klipper's name of an object."""
        name = name.strip("'\"")[:_MAX_NAME]
        if name and len(self._klipper_names) < MAX_OBJECTS:
            self._klipper_names[name] = None

    @property
    def names(self) -> tuple[str, ...]:
        """Each object with a name once, by the most readable one; if none has a name, all by their numbers."""
        names: dict[str, str] = {}
        for name in (*self._comment_names, *filter(None, self._m486_names.values()), *self._unnumbered_names):
            names.setdefault(_key(name), name)
        for name in self._klipper_names:
            if _key(_KLIPPER_COPY.sub("", name)) not in names:
                names.setdefault(name, name)
        if not names:
            names = {str(number): f"object {number}" for number in self._m486_names}
        return tuple(names.values())[:MAX_OBJECTS]


def _key(name: str) -> str:
    """Return a name reduced to the characters that Klipper's form keeps, to compare names."""
    return _NO_WORD.sub("_", name).casefold()
