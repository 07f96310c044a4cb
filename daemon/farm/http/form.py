"""The form of an upload, taken apart as it comes in: small fields are kept, the file's bytes are handed on. Sans-IO."""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
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

LONGEST_NAME, LONGEST_SUFFIX = 200, 20  # characters

_EXTENDED = re.compile(r"""filename\*\s*=\s*([\w-]+)'[^']*'([^;\s]*)""", re.IGNORECASE | re.ASCII)


class JobForm:
    """Takes pieces of a multipart body; hands out the file's bytes.

    Attributes:
        fields: the others, once the form has ended.
        filename: as the client gave it; None: no file has begun.
    """

    def __init__(self, content_type: str) -> None:
        kind, options = parse_options_header(content_type)
        self.fields: dict[str, str] = {}
        self.filename: str | None = None
        self._in: str | None = None
        self._kept: dict[str, bytes] = {}
        if kind.lower() != "multipart/form-data":
            raise UploadBroken("an upload is a form: multipart/form-data")
        try:
            self._parser = PushMultipartParser(options.get("boundary", ""), max_segment_count=MAX_PARTS)
        except MultipartError as error:
            raise UploadBroken(f"the form cannot be read: {error}") from error

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Yield what this piece holds of the file; raises UploadBroken."""
        if self._parser.closed or not piece:
            return
        try:
            for event in self._parser.parse(piece):
                if isinstance(event, MultipartSegment):
                    self._begin(event)
                elif event is None:
                    self._in = None
                elif self._in == "":
                    yield bytes(event)
                elif self._in is not None:
                    self._keep(self._in, event)
        except MultipartError as error:
            raise UploadBroken(f"the form cannot be read: {error}") from error

    def end(self) -> None:
        """Say that the body has ended; raises UploadBroken where the form has not."""
        try:
            self._parser.close()
            self.fields = {name: value.decode() for name, value in self._kept.items()}
        except MultipartError as error:
            raise UploadBroken(f"the upload is not complete: {error}") from error
        except UnicodeDecodeError as error:
            raise UploadBroken("a field of the form is not UTF-8") from error

    def _begin(self, part: MultipartSegment) -> None:
        name = _filename(part)
        if part.name == "file" and name:
            if self.filename is not None:
                raise UploadBroken("the form holds more than one file")
            self.filename, self._in = name, ""
        else:
            self._in = part.name or None
            if self._in:
                self._kept[self._in] = b""

    def _keep(self, name: str, value: bytes) -> None:
        self._kept[name] += value
        if sum(map(len, self._kept.values())) > MAX_FIELDS:
            raise UploadBroken(f"the fields of the form are too large: at most {MAX_FIELDS} bytes are accepted")


def _filename(part: MultipartSegment) -> str | None:
    """Return the name of a part's file: `filename*` (RFC 5987) before `filename`."""
    disposition = next((value for name, value in part.headerlist if name == "Content-Disposition"), "")
    if match := _EXTENDED.search(disposition):
        try:
            return unquote(match[2], match[1], "strict")
        except (LookupError, UnicodeDecodeError) as error:
            raise UploadBroken("the file's name cannot be decoded") from error
    filename: str | None = part.filename
    return filename


def shown_name(filename: str) -> str:
    """Return a file's name as it is kept: its last part, one line, what can be shown."""
    last = re.split(r"[/\\]", filename)[-1].strip()
    plain = "".join(each if each.isprintable() else "_" for each in last)
    if len(plain) > LONGEST_NAME:
        suffix = "".join(PurePosixPath(plain).suffixes[-2:])[-LONGEST_SUFFIX:]
        plain = plain[: LONGEST_NAME - len(suffix)] + suffix
    return plain.strip() or "unnamed.gcode"
