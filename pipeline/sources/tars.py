"""WebDataset: tar files in which an image's picture and captions follow each other.

Reference: Aizman, Maltby & Breuel 2019, "High performance I/O for large scale deep learning", IEEE
Big Data; img2dataset writes the same.
"""

import json
import os
import re
import tarfile

from keras_sat.data.record import Record
from keras_sat.utils.errors import UserError
from pipeline.sources import files, tables
from pipeline.sources.base import CAPTION, Item, bad_line, split_by_hash, split_in_name
from pipeline.sources.looking import Seen
from pipeline.sources.paths import open_file
from pipeline.sources.pictures import SUFFIXES

_NAME = re.compile(r"((?:.*/)?[^./]+)\.([^/]+)")  # key.suffix
_PLACE = re.compile(r"(.+)#(\d+)\+(\d+)")  # tar#offset+size
_TEXT = 1 << 20  # the most bytes of a member with text
_END = bytes(512)  # the block with which an archive ends


class TarSource(files.FileSource):
    """*.tar with members KEY.jpg and KEY.txt or KEY.json, in the folder or in split folders.

    A .txt is one caption. A .json has a caption, or a list of captions, under `caption`, `captions`
    or `text`. If it holds several, they are taken; else the .txt is. The name of a tar or of its
    folder may say the split; else a hash does. Members are read where they stand; no tar is
    unpacked.

    Raises:
        UserError: there is no .tar.
    """

    published = False
    title = "WebDataset"

    def __init__(self, config):
        seen = Seen.at(config.source)
        super().__init__(config, seen.folder)
        self._shares = config.shares
        self._column = config.caption_column
        paths = _tars(seen)
        if not paths:
            raise UserError(f"{config.source}: has no .tar; packed ones need unpacking to .tar")
        self.read_from(*paths)

    @staticmethod
    def sees(seen, config):
        found = _tars(seen)
        return found and f"{len(found)} .tar file{'s' if len(found) > 1 else ''}"

    def partitions(self):
        return list(self.listings)

    def list_items(self, partition):
        name = partition[len(self.folder) :].lstrip("/").removesuffix(".tar")
        for key, members in samples(partition):
            yield from self.items(f"{name}/{key}", split_in_name(name), partition, members)

    def items(self, id, split, tar, members):
        """Yields the item of a sample's picture, and one per caption.

        Args:
            id: the image's id.
            split: its split, or "".
            tar: the path of the tar.
            members: {suffix: bytes of a text or the place of a picture}.
        """
        common = {"split": split, "otherwise": split_by_hash(id, self._shares)}
        pictures = [suffix for suffix in members if f".{suffix}" in SUFFIXES]
        for suffix in pictures[1:]:
            yield Item(f"{id}.{suffix}", fault="second picture: the sample has another one")
        if pictures:
            yield Item(id, path=members[pictures[0]], **common)
        captions, fault = self._captions(members)
        if fault:
            yield bad_line(f"{tar}:{id}", "", fault)
        for number, caption in enumerate(captions):
            yield Item(id, captions=(caption,), order=(number,), left_out=CAPTION, **common)

    def _captions(self, members):
        """(the captions of a sample, what is wrong with them or "")."""
        listed = []
        fault = ""
        if "json" in members:
            try:
                values = json.loads(members["json"].decode("utf-8", "surrogateescape"))
            except (ValueError, RecursionError):
                values = None
                fault = "the .json of a sample is not JSON"
            if isinstance(values, dict):
                for column in tables.caption_columns(values, self._column):
                    listed += tables.texts(values[column]) or []
        plain = members.get("txt")
        if plain is not None and len(listed) < 2 and not self._column:
            return [plain.decode("utf-8-sig", "surrogateescape")], ""
        return listed, fault if not listed else ""

    def load(self, item):
        place = _PLACE.fullmatch(item.path)
        if not place:
            return super().load(item)
        path, offset, size = place.groups()
        if int(size) > self.roots.max_bytes:
            limit = self.roots.max_bytes >> 20
            raise UserError(f"file too large: {item.id} has more than max_megabytes ({limit})")
        with open_file(path) as file:
            file.seek(int(offset))
            return Record(item.id, item.captions, file.read(int(size)))

    def fingerprint(self):
        """The hash of the tars' names and of their members' names, sizes and texts."""
        return f"{type(self).__name__} {files.digest_of(self._contents())}"

    def _contents(self):
        for path in self.listings:
            yield os.path.basename(path)
            for key, members in samples(path):
                yield f"{key} {members}"


def samples(path):
    """Yields (key, {suffix: bytes of a text, or the place of a picture}) of each sample of a tar.

    Raises:
        UserError: the tar is damaged or cut short.
    """
    key = None
    members = {}
    for name, value in _members(path):
        found = _NAME.fullmatch(name)
        if not found:
            continue
        if found[1] != key and members:
            yield key, members
            members = {}
        key = found[1]
        members[found[2].lower()] = value
    if members:
        yield key, members


def _members(path):
    """Yields (name, bytes or place) of the pictures and texts of a tar."""
    with open_file(path) as file:
        try:
            with tarfile.open(fileobj=file, mode="r:") as tar:
                while member := tar.next():
                    tar.members.clear()  # it keeps all of them otherwise
                    suffix = os.path.splitext(member.name)[1].lower()
                    if member.isreg() and suffix in SUFFIXES:
                        yield member.name, f"{path}#{member.offset_data}+{member.size}"
                    elif member.isreg() and suffix in (".txt", ".json"):
                        if member.size > _TEXT:
                            raise UserError(f"{path}: {member.name} is too long for captions")
                        yield member.name, tar.extractfile(member).read()
                end = tar.offset
        except (tarfile.TarError, EOFError) as error:
            raise UserError(f"{path}: damaged or cut short ({error})") from error
        # tarfile ends without a word at a header that is no header.
        file.seek(end)
        if file.read(len(_END)) != _END:
            raise UserError(f"{path}: damaged or cut short (no end after byte {end})")


def _tars(seen):
    """The tars in a folder and in the folders in it."""
    places = [seen] if seen.file else [seen, *seen.within()]
    found = []
    for place in places:
        found += place.files(".tar")
    return found
