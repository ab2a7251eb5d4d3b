"""Flickr30k, with the boxes of Flickr30k Entities where they are at hand.

Reference: Young et al. 2014, "From image descriptions to visual denotations", TACL 2; Plummer et al. 2015, "Flickr30k
Entities", ICCV.
"""

import dataclasses
import re
import xml.etree.ElementTree as ElementTree

from apache_beam.io.filesystems import FileSystems

from keras_sat.data.phrase import Phrase
from keras_sat.utils.errors import UserError
from pipeline.sources import files
from pipeline.sources.base import UNSPLIT, Item, split_by_hash
from pipeline.sources.flickr8k import token_item

FOLDERS = ("flickr30k_images/flickr30k_images", "flickr30k_images", "flickr30k-images", "images")
CAPTIONS = ("results_20130124.token", "results.csv", "flickr30k_images/results.csv")
ENTITIES = ("Annotations", "flickr30k_entities/Annotations")
_PHRASE = re.compile(r"\[/EN#(\d+)/\S+ ([^\]]*)\]")


class Flickr30kSource(files.FileSource):
    """The token file, or the csv of lines `image| number| comment`, and the pictures' folder.

    With Flickr30k Entities (Annotations/, Sentences/ and train.txt, val.txt, test.txt, in the folder or in its
    flickr30k_entities/), captions have phrases with boxes, and its lists are the splits. Without, a hash of the id splits.
    """

    def __init__(self, config):
        self._shares = config.shares
        self._pictures = files.first_of(config.source, FOLDERS, "folder of pictures")
        self._captions = files.first_of(config.source, CAPTIONS, "captions")
        annotations = files.existing(config.source, {name: name for name in ENTITIES})
        self._entities = next(
            (path.removesuffix("/Annotations") for path in annotations.values()), None
        )
        lists = {split: f"{split}.txt" for split in ("train", "val", "test")}
        self._lists = files.existing(self._entities, lists) if self._entities else {}
        self.listings = (self._captions, *self._lists.values())

    def partitions(self):
        return files.partitions(self._lists, self._captions)

    def list_items(self, partition):
        kind, part = partition
        for offset, line in files.lines(*part):
            if kind != "captions":
                name = line.strip() + ".jpg"
                yield Item(name, kind, self._path(name))
            elif not line.startswith("image_name|"):
                read = csv_item if self._captions.endswith(".csv") else token_item
                item = read(line, offset, part[0], self._path)
                by_hash = not (self._lists or item.fault)
                yield (
                    dataclasses.replace(item, split=split_by_hash(item.id, self._shares))
                    if by_hash
                    else item
                )

    def load(self, item):
        record, name = super().load(item), item.id.removesuffix(".jpg")
        sentences = (
            files.existing(self._entities, {"": f"Sentences/{name}.txt"}) if self._entities else {}
        )
        if not sentences:
            return record
        parsed = [parse_sentence(line) for _, line in files.lines(sentences[""])]
        boxes = read_boxes(
            files.read(FileSystems.join(self._entities, "Annotations", f"{name}.xml")), name
        )
        phrases = [
            phrase
            for index, (_, spans) in enumerate(parsed)
            for phrase in _phrases(index, parsed, spans, boxes)
        ]
        return dataclasses.replace(
            record, captions=tuple(text for text, _ in parsed), phrases=tuple(phrases)
        )

    def _path(self, name):
        return FileSystems.join(self._pictures, name)


def csv_item(line, offset, file, path_of):
    """The item of a line `IMAGE.jpg| N| caption`."""
    image, number, caption = (part.strip() for part in [*line.split("|", 2), "", ""][:3])
    if not number.isdecimal():
        return Item(
            f"{file}@{offset}",
            UNSPLIT,
            fault=f"malformed line: {line[:60]!r}, expected IMAGE.jpg| N| caption",
        )
    return Item(image, "", path_of(image), (caption,), (int(number),))


def parse_sentence(line):
    """The text of a sentence of Flickr30k Entities, and [(first character, end, entity)] of its phrases in it."""
    text, spans, place = "", [], 0
    for found in _PHRASE.finditer(line):
        text += line[place : found.start()]
        spans.append((len(text), len(text) + len(found[2]), found[1]))
        text += found[2]
        place = found.end()
    return text + line[place:], spans


def read_boxes(xml, name):
    """{entity: [(ymin, xmin, ymax, xmax), normalised, …]} of an annotation file.

    Raises:
        UserError: it is not one.
    """
    try:
        root = ElementTree.fromstring(xml)
        height, width = (float(root.find(f"size/{side}").text) for side in ("height", "width"))
        if not (height > 0 and width > 0):
            raise ValueError(f"its picture has {height:g}x{width:g} pixels")
        scales, boxes = (height, width, height, width), {}
        for thing in root.iter("object"):
            box = thing.find("bndbox")
            for entity in thing.findall("name") if box is not None else []:
                ends = tuple(
                    float(box.find(key).text) / scale for key, scale in zip(_CORNERS, scales)
                )
                boxes.setdefault(entity.text, []).append(ends)
    except (ElementTree.ParseError, AttributeError, ValueError, TypeError) as error:
        raise UserError(f"boxes not readable: Annotations/{name}.xml ({error})") from error
    return boxes


_CORNERS = ("ymin", "xmin", "ymax", "xmax")


def _phrases(index, parsed, spans, boxes):
    """The `Phrase`s of one sentence, one for each box; characters become words as keras_sat.text.tokeniser counts them."""
    from keras_sat.text.tokeniser import split

    text = parsed[index][0]
    for first, end, entity in spans:
        if entity in boxes:
            before, within, all_words = split([text[:first], text[first:end], text]).to_list()
            start, stop = len(before), len(before) + len(within)
            if within and all_words[start:stop] == within:
                yield from (
                    Phrase(index, start, stop, within[-1].decode(), box) for box in boxes[entity]
                )
