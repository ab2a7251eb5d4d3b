"""The built-in data set: there is nothing to read, the workers draw its pictures."""

import re

from keras_sat.data import scenes
from keras_sat.data.record import Record
from keras_sat.utils.errors import UserError
from pipeline.sources.base import Item, Source

_PARTITION = 500  # pictures


class ScenesSource(Source):
    """Drawn scenes; `source` says how many, as in `train=3000,val=300,test=300`."""

    def __init__(self, config):
        if not re.fullmatch(r"(train|val|test)=[0-9]+(,(train|val|test)=[0-9]+)*", config.source):
            raise UserError(
                f"--source {config.source}: scenes are drawn; say how many, "
                "such as train=3000,val=300,test=300"
            )
        self._seed = config.seed
        self._counts = {}
        for part in config.source.split(","):
            split, count = part.split("=")
            self._counts[split] = int(count)

    def partitions(self):
        parts = []
        for split, count in self._counts.items():
            for first in range(0, count, _PARTITION):
                parts.append((split, first, min(first + _PARTITION, count)))
        return parts

    def list_items(self, partition):
        split, first, end = partition
        for index in range(first, end):
            yield Item(scenes.scene_id(split, index), split)

    def load(self, item):
        scene = scenes.draw(item.id, self._seed)
        return Record(item.id, scene.captions, scene.image, phrases=scene.phrases)

    def fingerprint(self):
        return f"scenes {scenes.VERSION} seed {self._seed} {sorted(self._counts.items())}"
