"""Decodes binary G-code (.bgcode) into text, with one block at a time in memory. It does no I/O.

A block has a header, parameters, data and a CRC-32 over all of these
(https://github.com/prusa3d/libbgcode/blob/main/doc/specifications.md). Metadata, which slicers write into comments of
plain G-code, have blocks of their own. They become comments again, where PrusaSlicer writes them: the producer and
thumbnails at the beginning, the figures of the print and the settings at the end.
"""

import base64
import re
import struct
import zlib
from collections.abc import Iterator
from enum import IntEnum

from gcode import meatpack
from gcode.errors import CommandError
from gcode.frozen import frozen
from gcode.heatshrink import decompress

MAGIC = b"GCDE"
MAX_BLOCK = 16 * 1024 * 1024  # bytes, compressed and not; PrusaSlicer writes blocks of 64 KiB
MAX_METADATA = 4 * 1024 * 1024  # bytes of all tables together

_VERSION = 1
_FILE_HEADER, _BLOCK_HEADER = struct.Struct("<4sIH"), struct.Struct("<HHI")
_SIZE, _CRC = struct.Struct("<I"), struct.Struct("<I")
_HEATSHRINK = {2: (11, 4), 3: (12, 4)}  # compression → bits of window and lookahead
_PICTURE_NAMES = {0: "thumbnail", 1: "thumbnail_JPG", 2: "thumbnail_QOI"}
_ROW_LENGTH = 78  # characters of base64 in a line
_RUN_TOGETHER = re.compile(rb"^G\d[^ \n;]*$", re.MULTILINE)  # a command without blanks
_WORD_BEGINS = re.compile(rb"(?<=[\d.])(?=[A-Za-z])")


class BlockKind(IntEnum):
    """The kind of a block."""

    FILE = 0
    GCODE = 1
    SLICER = 2
    PRINTER = 3
    PRINT = 4
    PICTURE = 5


_BLOCK_NAMES = {
    BlockKind.FILE: "file metadata",
    BlockKind.GCODE: "G-code",
    BlockKind.SLICER: "slicer metadata",
    BlockKind.PRINTER: "printer metadata",
    BlockKind.PRINT: "print metadata",
    BlockKind.PICTURE: "thumbnail",
}


class BgcodeError(CommandError):
    """A file of binary G-code is damaged or of an unknown kind; the text says what is wrong."""


@frozen
class _Block:
    """The header of a block.

    Attributes:
        kind: of the block.
        compression: its number.
        unpacked_size: bytes of the data when unpacked.
        header: the bytes of the header, for the checksum.
        body_size: bytes of parameters and data in the file.
    """

    kind: BlockKind
    compression: int
    unpacked_size: int
    header: bytes
    body_size: int


class BgcodeDecoder:
    """Decodes a file: `feed` takes it piece by piece, `finish` marks its end, and both yield text."""

    def __init__(self) -> None:
        self._waiting = bytearray()
        self._has_checksums: bool | None = None  # blocks have a checksum; None: the file's header has not been read yet
        self._block: _Block | None = None
        self._number = 0
        self._producer = ""
        self._tables: dict[BlockKind, list[bytes]] = {BlockKind.PRINT: [], BlockKind.SLICER: []}
        self._metadata_size = 0
        self._has_gcode = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take the next bytes.

        Raises:
            BgcodeError: the file is damaged, or of an unknown kind.
        """
        self._waiting += data
        while self._advance():
            if self._block is not None and (body := self._take_body(self._block)) is not None:
                block, self._block = self._block, None
                yield from self._decode(block, body)

    def finish(self) -> Iterator[bytes]:
        """End the file.

        Raises:
            BgcodeError: the file is cut off.
        """
        if self._has_checksums is None or self._block is not None or self._waiting:
            raise BgcodeError(f"binary G-code: the file is cut off in {self._where()}")
        if not self._has_gcode:
            raise BgcodeError("binary G-code: the file is cut off before its G-code")
        yield b"\n" + b"".join(self._tables[BlockKind.PRINT])
        if self._tables[BlockKind.SLICER]:
            name = (self._producer.split() or ["slicer"])[0].lower().encode()
            yield b"\n; " + name + b"_config = begin\n"
            yield b"".join(self._tables[BlockKind.SLICER])
            yield b"; " + name + b"_config = end\n"

    # -- blocks --------------------------------------------------------------------------------------------

    def _advance(self) -> bool:
        """Read the next header if it is complete; tell whether more can be read."""
        if self._has_checksums is None:
            if len(self._waiting) < _FILE_HEADER.size:
                return False
            self._has_checksums = self._read_file_header(self._take(_FILE_HEADER.size))
        if self._block is None:
            self._block = self._read_block_header()
            return self._block is not None and self._is_complete(self._block)
        return self._is_complete(self._block)

    def _is_complete(self, block: _Block) -> bool:
        return len(self._waiting) >= block.body_size + (_CRC.size if self._has_checksums else 0)

    @staticmethod
    def _read_file_header(data: bytes) -> bool:
        magic, version, checksum = _FILE_HEADER.unpack(data)
        if magic != MAGIC:
            raise BgcodeError("this is not binary G-code: it does not begin with GCDE")
        if version != _VERSION:
            raise BgcodeError(f"binary G-code of version {version} is unknown; version {_VERSION} is supported")
        if checksum > 1:
            raise BgcodeError(f"binary G-code with checksums of type {checksum} is unknown")
        return bool(checksum)

    def _read_block_header(self) -> _Block | None:
        waiting = self._waiting
        if len(waiting) < _BLOCK_HEADER.size:
            return None
        kind, compression, unpacked = _BLOCK_HEADER.unpack_from(waiting)
        length = _BLOCK_HEADER.size + (_SIZE.size if compression else 0)
        if len(waiting) < length:
            return None
        self._number += 1
        if kind not in BlockKind.__members__.values():
            raise BgcodeError(f"binary G-code: block {self._number} is of an unknown type, {kind}")
        packed = _SIZE.unpack_from(waiting, _BLOCK_HEADER.size)[0] if compression else unpacked
        if max(packed, unpacked) > MAX_BLOCK:
            raise BgcodeError(
                f"binary G-code: block {self._number} is too large: it has {max(packed, unpacked)} bytes; at most "
                f"{MAX_BLOCK} are allowed"
            )
        parameters = 6 if kind == BlockKind.PICTURE else 2
        return _Block(BlockKind(kind), compression, unpacked, self._take(length), parameters + packed)

    def _take_body(self, block: _Block) -> bytes | None:
        """Return parameters and data, once their checksum is found valid; None: they are not complete yet."""
        if not self._is_complete(block):
            return None
        body = self._take(block.body_size)
        if self._has_checksums:
            [checksum] = _CRC.unpack(self._take(_CRC.size))
            if zlib.crc32(body, zlib.crc32(block.header)) != checksum:
                raise BgcodeError(f"binary G-code: {self._where(block)} is damaged: its checksum is wrong")
        return body

    def _take(self, size: int) -> bytes:
        taken = bytes(self._waiting[:size])
        del self._waiting[:size]
        return taken

    def _where(self, block: _Block | None = None) -> str:
        if self._has_checksums is None:
            return "its header"
        block = block or self._block
        name = f" ({_BLOCK_NAMES[block.kind]})" if block else ""
        return f"block {self._number if block else self._number + 1}{name}"

    # -- text ----------------------------------------------------------------------------------------------

    def _decode(self, block: _Block, body: bytes) -> Iterator[bytes]:
        try:
            if block.kind is BlockKind.PICTURE:
                kind, width, height = struct.unpack_from("<HHH", body)
                yield _picture_comments(kind, width, height, _unpack(block, body[6:]))
            elif block.kind is BlockKind.GCODE:
                self._has_gcode = True
                yield _decode_gcode(int.from_bytes(body[:2], "little"), _unpack(block, body[2:]))
            else:
                yield from self._take_table(block.kind, int.from_bytes(body[:2], "little"), _unpack(block, body[2:]))
        except BgcodeError:
            raise
        except (CommandError, zlib.error) as error:
            raise BgcodeError(f"binary G-code: {self._where(block)} is damaged: {error}") from error

    def _take_table(self, kind: BlockKind, encoding: int, data: bytes) -> Iterator[bytes]:
        if encoding != 0:  # newer files repeat the table as JSON, which is left out
            return
        self._metadata_size += len(data)
        if self._metadata_size > MAX_METADATA:
            raise CommandError(f"the tables have more than {MAX_METADATA} bytes")
        pairs = [(key.strip(), value.strip()) for key, _, value in (line.partition(b"=") for line in data.splitlines())]
        comments = b"".join(b"; " + key + b" = " + value + b"\n" for key, value in pairs if key)
        if kind is BlockKind.FILE:
            yield self._producer_comment(dict(pairs))
        elif kind in self._tables:
            self._tables[kind].append(comments)
        else:
            yield comments

    def _producer_comment(self, pairs: dict[bytes, bytes]) -> bytes:
        producer = pairs.get(b"Producer", b"")
        self._producer = producer.decode("utf-8", "replace")
        on = pairs.get(b"Produced on", b"")
        return b"; generated by " + producer + (b" on " + on if on else b"") + b"\n\n" if producer else b""


def _unpack(block: _Block, data: bytes) -> bytes:
    """Return the data of a block, decompressed.

    Raises:
        CommandError: their size differs from that in the header, or the compression is unknown.
    """
    if block.compression == 0:
        return data
    if block.compression == 1:
        inflate = zlib.decompressobj()
        result = inflate.decompress(data, block.unpacked_size + 1)
        if len(result) > block.unpacked_size:
            raise CommandError(f"when unpacked, it has more than the {block.unpacked_size} bytes that its header says")
        if not inflate.eof:
            raise CommandError("compressed data (deflate) is cut off")
        if len(result) < block.unpacked_size:
            raise CommandError(f"when unpacked, it has {len(result)} bytes; its header says {block.unpacked_size}")
        return result
    if block.compression in _HEATSHRINK:
        return decompress(data, *_HEATSHRINK[block.compression], block.unpacked_size)
    raise CommandError(f"unknown compression: {block.compression}")


def _decode_gcode(encoding: int, data: bytes) -> bytes:
    if encoding == 0:
        return data
    if encoding > 2:  # noqa: PLR2004 - MeatPack with and without comments
        raise CommandError(f"unknown encoding: {encoding}")
    decoder = meatpack.Decoder()
    text = decoder.feed(data)
    decoder.finish()
    return _RUN_TOGETHER.sub(lambda command: _WORD_BEGINS.sub(b" ", command[0]), text)


def _picture_comments(kind: int, width: int, height: int, data: bytes) -> bytes:
    if kind not in _PICTURE_NAMES:
        raise CommandError(f"unknown format: {kind}")
    text = base64.b64encode(data)
    rows = [b"; " + text[at : at + _ROW_LENGTH] + b"\n" for at in range(0, len(text), _ROW_LENGTH)]
    name = _PICTURE_NAMES[kind].encode()
    begin = b"\n;\n; %s begin %dx%d %d\n" % (name, width, height, len(text))
    return begin + b"".join(rows) + b"; " + name + b" end\n;\n"
