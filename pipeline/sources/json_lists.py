"""JSON lists of images with captions, as BLIP's and LLaVA's training read them."""

from dataclasses import dataclass

from apache_beam.io.filesystems import FileSystems

from keras_sat.utils.errors import UserError
from pipeline.sources import json_arrays, rows, tables
from pipeline.sources.base import split_in_name
from pipeline.sources.looking import Seen
from pipeline.sources.pictures import Pictures

_TURNS = "conversations"


class JsonListSource(rows.RowsSource):
    """JSON files that are lists of objects with `image` and `caption` or `conversations`.

    BLIP: {"image": PATH, "caption": TEXT or list of texts}. LLaVA: {"image": PATH, "conversations":
    [{"from": "human", …}, {"from": "gpt", "value": CAPTION}]}. Further answers of a conversation
    are no captions and are left out. A file's name may say its split, as coco_karpathy_val.json
    does; else a hash does. `source` may name one file.

    Reference: Li et al. 2022, "BLIP", ICML; Liu et al. 2023, "Visual instruction tuning", NeurIPS.

    Raises:
        UserError: there is no such file.
    """

    published = False
    title = "JSON list of images and captions (BLIP, LLaVA)"

    def __init__(self, config):
        seen = Seen.at(config.source)
        super().__init__(config, seen.folder)
        placed = []
        pictures = Pictures.under(self.roots.folders)
        for path in _lists(seen, config):
            split = split_in_name(FileSystems.split(path)[1])
            placed.append(rows.Placed(JsonList(path), pictures, split))
        if not placed:
            raise UserError(f"{config.source}: has no JSON list of objects with image and caption")
        self.take(*placed)

    @staticmethod
    def sees(seen, config):
        return ", ".join(FileSystems.split(path)[1] for path in _lists(seen, config))


@dataclass(frozen=True)
class JsonList:
    """A list in a JSON file, as `tables.Table` is one of text."""

    path: str

    def parts(self):
        return [self.path]

    def rows(self, part):
        """Yields (number of the element from 1, {key: value} or the element)."""
        for number, value in enumerate(json_arrays.elements(part), 1):
            if isinstance(value, dict) and isinstance(value.get(_TURNS), list):
                yield from _answers(number, value)
            else:
                yield number, value


def _answers(number, value):
    """Yields the rows of a conversation: the first answer, and what is no caption."""
    answers = []
    for turn in value[_TURNS]:
        if isinstance(turn, dict) and turn.get("from") == "gpt":
            answers.append(turn.get("value"))
    yield number, {"image": value.get("image"), "caption": answers[0] if answers else None}
    for answer in answers[1:]:
        yield number, f"a further answer of a conversation: {answer!r:.60}"


def _lists(seen, config):
    """The JSON files that are such lists."""
    places = [seen] if seen.file else [seen, *seen.within("annotations")]
    found = []
    for place in places:
        found += [path for path in place.few(".json") if _is_list(path, config)]
    return found


def _is_list(path, config):
    try:
        first = next(json_arrays.elements(path), None)
    except UserError:
        return False
    if not isinstance(first, dict):
        return False
    image = tables.find_column(first, tables.IMAGE, config.image_column)
    return bool(image) and bool(
        _TURNS in first or tables.caption_columns(first, config.caption_column)
    )
