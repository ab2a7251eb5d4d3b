"""Tables of captions: one row per caption or image, with or without a line of column names."""

import ast
import csv
import json
import re
from dataclasses import dataclass

from keras_sat.utils.errors import UserError
from pipeline.sources import text
from pipeline.sources.base import SPLIT_NAMES
from pipeline.sources.paths import open_file
from pipeline.sources.pictures import is_picture

SUFFIXES = (".csv", ".tsv", ".jsonl", ".txt")
IMAGE = ("image", "file", "filename", "file_name", "image_name", "image_path", "path")
CAPTION = ("caption", "captions", "text", "comment", "sentence")
_SEVERAL = re.compile(r"(caption|text|comment|sentence)s?[_ ]?\d+")  # caption_1, caption_2, …
SPLIT = ("split",)
NUMBER = ("comment_number", "caption_number", "number")
_DELIMITERS = "\t,;|"
_HEAD = 1 << 16
_NUMBERED = re.compile(r"(.+)#([0-9]{1,9})")  # IMAGE.jpg#N
_SENTINEL = "a row of its own\n"
Cells = dict[str, object]


@dataclass(frozen=True)
class Table:
    """How a file of captions is to be read.

    Attributes:
        path: the file.
        delimiter: what separates the cells; empty for lines of JSON.
        columns: the names of the columns, in small letters.
        has_header: whether the first line names the columns.
        image: the name of the column of pictures.
        is_quoted: whether cells may have quotation marks. If not, the last cell holds the rest
            of the line.
    """

    path: str
    delimiter: str
    columns: tuple[str, ...] = ()
    has_header: bool = False
    image: str = "image"
    is_quoted: bool = False

    def parts(self):
        """The parts that workers share. A quoted cell may span lines, so that it is not cut."""
        if self.is_quoted:
            return [(self.path,)]
        return text.ranges(self.path)

    def rows(self, part):
        """Yields (line number, {column: value} or the text that is no row) of a part."""
        if not self.delimiter:
            return _json_rows(part)
        return _quoted_rows(self) if self.is_quoted else _plain_rows(self, part)

    def __str__(self):
        if not self.delimiter:
            return "lines of JSON"
        name = {"\t": "tabs", ",": "commas", ";": "semicolons", "|": "bars"}[self.delimiter]
        header = f"columns {', '.join(self.columns)}" if self.has_header else "no column names"
        return f"{name}, {header}"


def find_column(columns, names, chosen=None):
    """The first of these column names that there is, or None; `chosen` comes before them."""
    if chosen:
        return chosen.lower() if chosen.lower() in columns else None
    return next((name for name in names if name in columns), None)


def caption_columns(columns, chosen=None):
    """The columns that hold captions: one, or caption_1, caption_2, …"""
    one = find_column(columns, CAPTION, chosen)
    if one or chosen:
        return [one] if one else []
    return [name for name in columns if _SEVERAL.fullmatch(name)]


def look(path, config):
    """The `Table` in a file, or None if its first lines are no table of pictures and captions.

    Args:
        path: the file.
        config: a `keras_sat.config.Prepare`, whose columns may have unusual names.
    """
    text.check_encoding(path)
    with open_file(path) as file:
        head = file.read(_HEAD).decode("utf-8-sig", "surrogateescape")
    line = next((line for line in head.split("\n") if line.strip()), "").rstrip("\r")
    if path.lower().endswith(".jsonl"):
        return Table(path, "") if _names_columns(line, config) else None
    is_plain = path.lower().endswith(".txt")
    for delimiter in _DELIMITERS:
        cells = next(csv.reader([line], delimiter=delimiter), [])
        columns = tuple(cell.strip().lower() for cell in cells)
        # Tables with bars, and .txt with tabs, are written without quotation marks.
        is_quoted = not (delimiter == "|" or (is_plain and delimiter == "\t"))
        image = find_column(columns, IMAGE, config.image_column)
        if image and caption_columns(columns, config.caption_column):
            return Table(path, delimiter, columns, True, image, is_quoted)
        columns = _columns_without_names(columns)
        if columns:
            return Table(path, delimiter, columns, is_quoted=is_quoted)
    return None


def _names_columns(line, config):
    """Whether a line of JSON has keys for an image and its captions, or is no JSON."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return True  # a malformed line, to be counted
    keys = [name.lower() for name in row] if isinstance(row, dict) else []
    image = find_column(keys, IMAGE, config.image_column)
    return bool(image and caption_columns(keys, config.caption_column))


def _columns_without_names(cells):
    """The columns of a table without a line of names, by its first row; empty if it is none."""
    if not cells:
        return ()
    image, *others = cells
    numbered = _NUMBERED.fullmatch(image)
    if not others or not is_picture(numbered[1] if numbered else image):
        return ()
    if len(others) == 2 and others[0].isdecimal():
        return ("image", "number", "caption")
    if len(others) == 2 and others[1] in SPLIT_NAMES:
        return ("image", "caption", "split")
    return ("image", "caption")


def numbered(image):
    """(the image's name, the caption's number or None) of a name such as IMAGE.jpg#2."""
    found = _NUMBERED.fullmatch(image)
    if found and is_picture(found[1]):
        return found[1], int(found[2])
    return image, None


def texts(value):
    """The captions in a value: those of a text or a non-empty list of texts, else None."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and value and all(isinstance(each, str) for each in value):
        return value
    return None


def _value(cell):
    """A csv's cell, or the list of several texts that is written in it."""
    if cell.startswith("[") and cell.endswith("]"):
        try:
            listed = ast.literal_eval(cell)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return cell
        if texts(listed) and len(listed) > 1:
            return listed
    return cell


def _json_rows(part):
    for number, line in text.lines(*part):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):  # numbers may be too long, too
            row = line[:60]
        yield number, row if isinstance(row, dict) else line[:60]


def _plain_rows(table, part):
    _, start, *_ = part
    is_header = table.has_header and start == 0
    for number, line in text.lines(*part):
        if is_header:
            is_header = False
            continue
        cells = line.split(table.delimiter, len(table.columns) - 1)
        if table.delimiter == "|":
            cells = [cell.strip() for cell in cells]
        yield number, dict(zip(table.columns, cells)) if len(cells) > 1 else line[:60]


def _quoted_rows(table):
    """The rows of a csv. A quotation mark that is never closed would join rows to one caption."""
    taken = []  # the lines of the row that is read

    def feed():
        for number, line in text.whole_lines(table.path):
            taken.append((number, line))
            yield line

    reader = csv.reader(feed(), delimiter=table.delimiter)
    is_header = table.has_header
    number = 0
    try:
        for cells in reader:
            row = list(taken)
            taken.clear()
            number = row[0][0]
            if is_header or not cells:
                is_header = is_header and not cells
                continue
            _check_quotes(table, row, cells)
            if len(cells) <= len(table.columns):
                yield number, dict(zip(table.columns, map(_value, cells)))
            else:
                yield number, _too_many(table, cells)
    except csv.Error as error:
        raise UserError(
            f"{table.path}: not CSV at line {number + 1} ({error}); is a quote not closed?"
        ) from error


def _too_many(table, cells):
    """What to say of a row with more cells than columns."""
    return (
        f"{len(cells)} cells in {len(table.columns)} columns "
        f"(a caption with a {table.delimiter!r} needs quotes): {cells}"
    )


def _check_quotes(table, row, cells):
    """Checks that a row of a csv has not taken in other rows.

    Args:
        table: the `Table`.
        row: [(number, line)].
        cells: the cells that were read from these lines.

    Raises:
        UserError: a quotation mark is not closed, or the row holds what looks like rows.
    """
    lines = [line for _, line in row]
    first = row[0][0]
    is_open = False
    if '"' in lines[-1] or len(lines) > 1:
        is_open = len(list(csv.reader([*lines, _SENTINEL], delimiter=table.delimiter))) == 1
    inner = None
    for number, line in row[1:]:
        if inner is None and _looks_like_row(table, line, cells):
            inner = number
    if is_open or inner:
        what = "is never closed" if is_open else f"is closed in line {row[-1][0]}"
        looks = f", and line {inner} looks like a row of its own" if inner else ""
        raise UserError(
            f"{table.path}: line {first}: a cell's quotation mark {what}{looks}. If its text "
            'begins with such a mark, write it as """…; if its text is longer, put it on one line'
        )


def _looks_like_row(table, line, cells):
    """Whether a line within a row has cells, and names an image as that row does."""
    parts = line.split(table.delimiter)
    place = table.columns.index(table.image)
    if len(parts) < max(2, place + 1):
        return False
    own = cells[place] if place < len(cells) else ""
    found = parts[place].strip('" \r\n')
    if is_picture(numbered(own)[0]):
        return is_picture(numbered(found)[0])
    return bool(found) and " " not in found
