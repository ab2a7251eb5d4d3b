"""Texts that are no Unicode: bytes that are not UTF-8, and halves of characters."""

import re

_BYTES = re.compile("[\udc80-\udcff]")  # bytes that are not UTF-8, as Python reads them
HALVES = re.compile("[\ud800-\udfff]")


def encoding_fault(text):
    """Why a text is no Unicode, as `reason: detail`; empty if it is.

    Args:
        text: a text with bytes that are not UTF-8 as surrogates, or with half characters, as
            "\\ud83d" in JSON gives them.
    """
    halves = HALVES.findall(_BYTES.sub("", text))
    if halves:
        return f"half a character: \\u{ord(halves[0]):04x} is one half of an emoji or rare letter"
    if _BYTES.search(text):
        return "not UTF-8: save the file as UTF-8"
    return ""


def printable(text):
    """The text with what is no Unicode escaped, as \\xe9 or \\ud83d."""

    def escaped(found):
        code = ord(found[0])
        return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"

    return HALVES.sub(escaped, text)
