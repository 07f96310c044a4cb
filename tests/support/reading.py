"""The commands of a whole file, as the reader reads them."""

from gcode.reader import Reader


def read_whole(data: bytes) -> list[tuple[int, bytes]]:
    """Return the commands of a file, each with its offset."""
    reader = Reader()
    reader.feed(data)
    commands = list(reader)
    reader.finish()
    return commands + list(reader)
