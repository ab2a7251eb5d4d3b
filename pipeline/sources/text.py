"""Reading text files line by line, in parts that workers share."""

import codecs

from keras_sat.utils.errors import UserError
from pipeline.sources.paths import open_file

_RANGE = 4 << 20  # bytes of a captions file that one worker lists
_LONGEST = 16 << 20  # bytes of a line
_HEAD = 1 << 16  # bytes by which an encoding is known
_BYTE_ORDER_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def check_encoding(path):
    """Checks that a file can be read as lines of UTF-8.

    Raises:
        UserError: it is UTF-16, or its lines end in CR alone.
    """
    with open_file(path) as file:
        head = file.read(_HEAD)
    if head.startswith(_BYTE_ORDER_MARKS) or b"\0" in head:
        raise UserError(f"{path}: is UTF-16 or no text; save it as UTF-8")
    if b"\r" in head and b"\n" not in head:
        raise UserError(f"{path}: its lines end in CR alone; save it as UTF-8 with LF at line ends")


def ranges(path):
    """[(path, start, end, number of the first line)]: the parts of a file that workers share.

    Each begins and ends, in bytes, with a line.
    """
    parts = []
    start = 0
    number = 1
    with open_file(path) as file:
        while block := file.read(_RANGE):
            block += file.readline(_LONGEST)
            parts.append((path, start, start + len(block), number))
            start += len(block)
            number += block.count(b"\n")
    return parts


def whole_lines(path, start=0, end=float("inf"), number=1):
    """Yields (line number, line with its end) of each line of a part of a file.

    Bytes that are not UTF-8 become surrogates.

    Raises:
        UserError: a line is so long that the file holds no captions, or it is not UTF-8.
    """
    if start == 0:
        check_encoding(path)
    with open_file(path) as file:
        file.seek(start)
        while start < end:
            line = file.readline(_LONGEST)
            if not line:
                break
            if len(line) == _LONGEST:
                raise UserError(f"{path}: line {number} has more than {_LONGEST >> 20} MB")
            encoding = "utf-8-sig" if start == 0 else "utf-8"
            yield number, line.decode(encoding, "surrogateescape")
            start += len(line)
            number += 1


def lines(*part):
    """Yields (line number, line without its end) of each non-empty line of a part of a file."""
    for number, line in whole_lines(*part):
        line = line.rstrip("\r\n")
        if line:
            yield number, line
