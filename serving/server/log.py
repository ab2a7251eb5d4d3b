"""Log lines. They quote what clients send, so control characters in them are escaped."""

import logging


class Formatter(logging.Formatter):
    """Keeps every record on one line of its own; a traceback's lines are indented.

    A client can thus neither write lines that look like the server's nor control a terminal.
    """

    def formatMessage(self, record):
        return escaped(super().formatMessage(record))

    def formatException(self, ei):
        lines = super().formatException(ei).splitlines()
        return "\n".join(f"    {escaped(line)}" for line in lines)


def escaped(text):
    """The text with \\x1b, \\n, … in place of characters that are not printable."""
    return "".join(_escaped(character) for character in text)


def _escaped(character):
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode()


def log_to_standard_error():
    """Sends the log of this process to standard error, one line per record."""
    handler = logging.StreamHandler()
    handler.setFormatter(Formatter("%(asctime)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
