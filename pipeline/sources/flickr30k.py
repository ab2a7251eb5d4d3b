"""Flickr30k, with the boxes of Flickr30k Entities if the corpus has them.

Reference: Young et al. 2014, "From image descriptions to visual denotations", TACL 2; Plummer et
al. 2015, "Flickr30k Entities", ICCV.
"""

import dataclasses
import re
import xml.etree.ElementTree as ElementTree
from typing import NamedTuple

from apache_beam.io.filesystems import FileSystems

from keras_sat.data.record import Phrase
from keras_sat.text.tokeniser import split as split_words
from keras_sat.utils.errors import UserError
from pipeline.sources import files, text
from pipeline.sources.base import SPLITS, Item, bad_line, split_by_hash
from pipeline.sources.flickr8k import token_item
from pipeline.sources.paths import exists

FOLDERS = ("flickr30k_images/flickr30k_images", "flickr30k_images", "flickr30k-images", "images")
CAPTIONS = ("results_20130124.token", "results.csv", "flickr30k_images/results.csv")
ENTITIES = ("Annotations", "flickr30k_entities/Annotations")
_CORNERS = ("ymin", "xmin", "ymax", "xmax")
_PHRASE = re.compile(r"\[/EN#(\d+)/\S+ ([^\]]*)\]")


class Flickr30kSource(files.FileSource):
    """The pictures' folder and either the token file or a csv of lines `image| number| comment`.

    Flickr30k Entities are Annotations/, Sentences/ and train.txt, val.txt, test.txt, in the folder
    or in its flickr30k_entities/. With them, captions have phrases with boxes, and their lists are
    the splits. Without them, a hash of the id decides the split.
    """

    title = "Flickr30k"

    @staticmethod
    def sees(seen, config):
        return next((name for name in CAPTIONS if seen.has(name)), "")

    def __init__(self, config):
        super().__init__(config)
        self._shares = config.shares
        self._pictures = self.folder_of_pictures(FOLDERS)
        self._captions = files.first_of(config.source, CAPTIONS, "captions")
        self._entities = None
        self._lists = {}
        annotations = files.existing(config.source, {name: name for name in ENTITIES})
        if annotations:
            first = next(iter(annotations.values()))
            self._entities = first.removesuffix("/Annotations")
            names = {split: f"{split}.txt" for split in SPLITS}
            self._lists = files.existing(self._entities, names)
        self.read_from(self._captions, *self._lists.values())

    def partitions(self):
        return files.partitions(self._lists, self._captions)

    def list_items(self, partition):
        kind, part = partition
        for number, line in text.lines(*part):
            if kind != "captions":
                name = line.strip() + ".jpg"
                yield Item(name, kind, self._path(name))
            elif not line.startswith("image_name|"):  # the csv's header
                yield self._caption_item(line, number, part[0])

    def _caption_item(self, line, number, file):
        parse = csv_item if self._captions.endswith(".csv") else token_item
        item = parse(line, number, file, self._path)
        if self._lists or item.fault:
            return item
        return dataclasses.replace(item, split=split_by_hash(item.id, self._shares))

    def load(self, item):
        record = super().load(item)
        name = item.id.removesuffix(".jpg")
        if not self._entities:
            return record
        path = FileSystems.join(self._entities, f"Sentences/{name}.txt")
        if not exists(path):
            return record
        self.roots.check(path)
        sentences = [parse_sentence(line) for _, line in text.lines(path)]
        xml = self.roots.read(FileSystems.join(self._entities, "Annotations", f"{name}.xml"))
        boxes = read_boxes(xml, name)
        captions = []
        phrases = []
        for index, (sentence, spans) in enumerate(sentences):
            captions.append(sentence)
            phrases += _phrases(index, sentence, spans, boxes)
        return dataclasses.replace(record, captions=tuple(captions), phrases=tuple(phrases))

    def _path(self, name):
        return FileSystems.join(self._pictures, name)


def csv_item(line, line_number, file, path_of):
    """The item of a line `IMAGE.jpg| N| caption`; the arguments are those of `token_item`."""
    image, _, rest = line.partition("|")
    number, _, caption = rest.partition("|")
    image = image.strip()
    number = number.strip()
    caption = caption.strip()
    if not number.isdecimal():
        why = f"{line[:60]!r}, expected IMAGE.jpg| N| caption"
        return bad_line(f"{file}:{line_number}", line, why)
    return Item(image, path=path_of(image), captions=(caption,), order=(int(number),))


class Span(NamedTuple):
    """The place of a phrase in a sentence's text, in characters, and the entity that it names."""

    start: int
    end: int
    entity: str


def parse_sentence(line):
    """(text, [`Span` of each phrase]) of a sentence of Flickr30k Entities."""
    sentence = ""
    spans = []
    place = 0
    for found in _PHRASE.finditer(line):
        entity, phrase = found.groups()
        sentence += line[place : found.start()]
        spans.append(Span(len(sentence), len(sentence) + len(phrase), entity))
        sentence += phrase
        place = found.end()
    return sentence + line[place:], spans


def read_boxes(xml, name):
    """The boxes of an annotation file.

    Args:
        xml: the file's content.
        name: the picture's name without its suffix, for messages.

    Returns:
        {entity: [(ymin, xmin, ymax, xmax), normalised]}.

    Raises:
        UserError: it is not an annotation file.
    """
    try:
        root = ElementTree.fromstring(xml)
        height = float(root.find("size/height").text)
        width = float(root.find("size/width").text)
        if not (height > 0 and width > 0):
            raise ValueError(f"its picture has {height:g}x{width:g} pixels")
        scales = (height, width, height, width)
        boxes = {}
        for thing in root.iter("object"):
            corners = thing.find("bndbox")
            if corners is None:
                continue
            for entity in thing.findall("name"):
                box = [
                    float(corners.find(key).text) / scale for key, scale in zip(_CORNERS, scales)
                ]
                boxes.setdefault(entity.text, []).append(tuple(box))
    except (ElementTree.ParseError, AttributeError, ValueError, TypeError) as error:
        raise UserError(f"boxes not readable: Annotations/{name}.xml ({error})") from error
    return boxes


def _phrases(index, sentence, spans, boxes):
    """Yields the `Phrase`s of a sentence, one for each box.

    Places in characters become places in words, as keras_sat.text.vocabulary counts words. A phrase
    that does not consist of whole words is left out.
    """
    for span in spans:
        if span.entity not in boxes:
            continue
        texts = [sentence[: span.start], sentence[span.start : span.end], sentence]
        before, within, all_words = split_words(texts).to_list()
        start = len(before)
        stop = start + len(within)
        if within and all_words[start:stop] == within:
            noun = within[-1].decode()
            for box in boxes[span.entity]:
                yield Phrase(index, start, stop, noun, box)
