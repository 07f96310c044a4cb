"""An upload's form, taken apart as it comes in: small fields are kept, the file goes where it belongs. Sans-IO.

Parts may come in any order, and slicers use that: PrusaSlicer sends `print`, `path`, then the file.
"""

import re
from collections.abc import Iterator
from urllib.parse import unquote

from multipart import (  # type: ignore[import-untyped]  # it has annotations, but no py.typed
    MultipartError,
    MultipartSegment,
    PushMultipartParser,
    parse_options_header,
)

from daemon.errors import UploadBroken

MAX_FIELDS = 64 * 1024
MAX_PARTS = 64
"""Bytes of all fields that are kept, number of parts."""

KEPT = (
    "path", "filename", "select", "print", "userdata", "foldername", "noOverwrite", "size", "sha1", "force", "plate",
    "job", "modified",
)  # fmt: skip

# the closing quote may be missing: without it the text is not searched again from each of its quotes
_QUOTED = re.compile(r'"(?:\\.|[^"\\])*"?')
_EXTENDED = re.compile(r";\s*filename\*\s*=\s*([\w-]+)'[^']*'([^;\s]*)", re.IGNORECASE | re.ASCII)


class FileBegins(str):
    """The form's file begins; the text is its name as the client gave it."""

    __slots__ = ()


class UploadForm:
    """Takes pieces of a multipart body; hands out the file's name, then its bytes.

    Attributes:
        fields: the small fields known so far.
        file_seen: the form has a file.
    """

    def __init__(self, content_type: str) -> None:
        """Prepare for the body that this header announces.

        Raises:
            UploadBroken: the header has no boundary.
        """
        _, options = parse_options_header(content_type)
        self.fields: dict[str, str] = {}
        self.file_seen = False
        self._in: str | None = None  # the field whose value is coming, "" for the file, None for what is ignored
        self._kept: dict[str, bytes] = {}
        try:
            self._parser = PushMultipartParser(options.get("boundary", ""), max_segment_count=MAX_PARTS)
        except MultipartError as error:
            raise UploadBroken(f"the form cannot be read: {error}") from error

    def feed(self, piece: bytes) -> Iterator[FileBegins | bytes]:
        """Yield what this piece of the body holds of the file: its name where it begins, then bytes.

        Raises:
            UploadBroken: it is no valid form, or too large where it should be small.
        """
        if self._parser.closed or not piece:
            return
        try:
            for event in self._parser.parse(piece):
                if isinstance(event, MultipartSegment):
                    yield from self._begin(event)
                elif event is None:
                    self._in = None
                elif self._in == "":
                    yield event
                elif self._in is not None:
                    self._keep(self._in, event)
        except MultipartError as error:
            raise UploadBroken(f"the form cannot be read: {error}") from error

    def end(self) -> None:
        """Say that the body has ended.

        Raises:
            UploadBroken: the form has not: its closing boundary is missing, or a field is no UTF-8.
        """
        try:
            self._parser.close()
            self.fields = {name: value.decode() for name, value in self._kept.items()}
        except MultipartError as error:
            raise UploadBroken(f"the upload is not complete: {error}") from error
        except UnicodeDecodeError as error:
            raise UploadBroken("a field of the form is not UTF-8") from error

    def field(self, name: str) -> str | None:
        """Return a field that came already, before the form has ended."""
        value = self._kept.get(name)
        return None if value is None else value.decode(errors="replace")

    def _begin(self, part: MultipartSegment) -> Iterator[FileBegins]:
        filename = _filename(part)
        if part.name == "file" and filename:
            if self.file_seen:
                raise UploadBroken("the form holds more than one file")
            self.file_seen = True
            self._in = ""
            yield FileBegins(filename)
        elif part.name in KEPT and filename is None:
            self._in = part.name
            self._kept[part.name] = b""
        else:
            self._in = None  # octoprint-cli sends such

    def _keep(self, name: str, value: bytes) -> None:
        self._kept[name] += value
        if sum(map(len, self._kept.values())) > MAX_FIELDS:
            raise UploadBroken(f"the fields of the form are too large: at most {MAX_FIELDS} bytes are accepted")


def _filename(part: MultipartSegment) -> str | None:
    """Return the name of a part's file: `filename*` (RFC 5987) before `filename`."""
    disposition = next((value for name, value in part.headerlist if name == "Content-Disposition"), "")
    if match := _EXTENDED.search(_QUOTED.sub('""', disposition)):
        try:
            return unquote(match[2], match[1], "strict")
        except (LookupError, UnicodeDecodeError) as error:
            raise UploadBroken("the file's name cannot be decoded") from error
    filename: str | None = part.filename
    return filename
