"""UploadForm: parses the form of an upload while it arrives: stores small fields, and yields the file's bytes. Sans-IO.

Parts may come in any order; PrusaSlicer, for example, sends `print`, `path`, then the file.
"""

import re
from collections.abc import Collection, Iterator
from urllib.parse import unquote

from multipart import (  # type: ignore[import-untyped]  # it has annotations, but no py.typed
    MultipartError,
    MultipartSegment,
    PushMultipartParser,
    parse_options_header,
)

from daemon.errors import UploadBroken

MAX_FIELDS = 64 * 1024
"""Bytes of all fields together."""

MAX_PARTS = 64

# the closing quote is optional, so that a text without one is not searched again from each of its quotes
_QUOTED = re.compile(r'"(?:\\.|[^"\\])*"?')
_EXTENDED = re.compile(r";\s*filename\*\s*=\s*([\w-]+)'[^']*'([^;\s]*)", re.IGNORECASE | re.ASCII)


class FileStart(str):
    """Marks the beginning of the form's file; the text is its name, as the client sent it."""

    __slots__ = ()


class UploadForm:
    """Takes pieces of a multipart body; yields the file's name, then its bytes.

    Attributes:
        fields: the small fields; complete when the form has ended.
        filename: as the client sent it; None until the file begins.
    """

    def __init__(self, content_type: str, names: Collection[str] | None = None) -> None:
        """Prepare for a body with this content type.

        Args:
            content_type: the header.
            names: the fields to store; other fields are ignored. None: all.

        Raises:
            UploadBroken: it is not the type of a form, or has no boundary.
        """
        kind, options = parse_options_header(content_type)
        if kind.lower() != "multipart/form-data":
            raise UploadBroken("an upload must be a form: multipart/form-data")
        self.fields: dict[str, str] = {}
        self.filename: str | None = None
        self._names = names
        self._part: str | None = None  # name of the current field; "": the file; None: an ignored part
        self._values: dict[str, bytes] = {}
        try:
            self._parser = PushMultipartParser(options.get("boundary", ""), max_segment_count=MAX_PARTS)
        except MultipartError as error:
            raise UploadBroken(f"the form cannot be read: {_reason(error)}") from error

    def feed(self, piece: bytes) -> Iterator[FileStart | bytes]:
        """Yield what this piece of the body has of the file: its name where it begins, then bytes.

        Raises:
            UploadBroken: the form is not valid, or its fields are too large.
        """
        if self._parser.closed or not piece:
            return
        try:
            for event in self._parser.parse(piece):
                if isinstance(event, MultipartSegment):
                    yield from self._begin(event)
                elif event is None:
                    self._part = None
                elif self._part == "":
                    yield event
                elif self._part is not None:
                    self._add(self._part, event)
        except MultipartError as error:
            raise UploadBroken(f"the form cannot be read: {_reason(error)}") from error

    def end(self) -> None:
        """Complete `fields` when the body has ended.

        Raises:
            UploadBroken: the closing boundary is missing, or a field is not UTF-8.
        """
        try:
            self._parser.close()
            self.fields = {name: value.decode() for name, value in self._values.items()}
        except MultipartError as error:
            raise UploadBroken(f"the upload is not complete: {_reason(error)}") from error
        except UnicodeDecodeError as error:
            raise UploadBroken("a field of the form is not UTF-8") from error

    def field(self, name: str) -> str | None:
        """Return what has arrived so far of a field; None: nothing."""
        value = self._values.get(name)
        return None if value is None else value.decode(errors="replace")

    def _begin(self, part: MultipartSegment) -> Iterator[FileStart]:
        filename = _filename(part)
        if part.name == "file" and filename:
            if self.filename is not None:
                raise UploadBroken("the form contains more than one file")
            self.filename, self._part = filename, ""
            yield FileStart(filename)
        elif part.name and filename is None and (self._names is None or part.name in self._names):
            self._part = part.name
            self._values[part.name] = b""
        else:
            self._part = None  # octoprint-cli sends parts without a meaning here

    def _add(self, name: str, value: bytes) -> None:
        self._values[name] += value
        if sum(map(len, self._values.values())) > MAX_FIELDS:
            raise UploadBroken(f"the fields of the form are too large: at most {MAX_FIELDS} bytes are accepted")


def _reason(error: MultipartError) -> str:
    """Return the parser's reason, without the Python error that it has for a header that cannot be decoded."""
    if any(isinstance(each, UnicodeError) for each in error.args):
        return "a header in it, such as the name of the file, is not UTF-8"
    return str(error)


def _filename(part: MultipartSegment) -> str | None:
    """Return the name of a part's file: `filename*` (RFC 5987) before `filename`."""
    disposition = next((value for name, value in part.headerlist if name == "Content-Disposition"), "")
    if match := _EXTENDED.search(_QUOTED.sub('""', disposition)):
        try:
            return unquote(match[2], match[1], "strict")
        except (LookupError, UnicodeError) as error:
            raise UploadBroken("the file's name cannot be decoded") from error
    filename: str | None = part.filename
    return filename
