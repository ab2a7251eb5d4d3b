"""Staging: a tar of each shard of a stream, so that its pictures can be read one by one."""

import io
import json
import tarfile

import apache_beam as beam
import tensorflow as tf

from keras_sat.utils.errors import UserError
from pipeline.preparation import artifacts, beam_runner
from pipeline.sources import tars
from pipeline.sources.base import CAPTION, Item, bad_line, split_by_hash
from pipeline.sources.paths import Roots
from pipeline.sources.pictures import Pictures


def stage(source, config, folder, options):
    """Writes `folder`/SHARD.tar of each shard that has none yet.

    Args:
        source: a `pipeline.sources.streams.StreamSource`.
        config: a `keras_sat.config.Prepare`.
        folder: where the tars are written.
        options: Beam's options.

    Returns:
        The `pipeline.sources.base.Source` of the tars.
    """

    def build(pipeline):
        (
            pipeline
            | beam.Create(source.shards())
            | beam.Reshuffle()
            | "Stage" >> beam.Map(_write_tar, source, folder)
        )

    beam_runner.run_job(build, options, "fetching")
    return StagedSource(source, config, folder)


def _write_tar(element, source, folder):
    name, shard = element
    path = f"{folder}/{name}.tar"
    if tf.io.gfile.exists(path):
        return
    with artifacts.atomic_gfile(path) as temporary, tarfile.open(temporary, "w") as tar:
        for number, sample in enumerate(source.read_shard(shard)):
            facts = {
                "id": sample.id,
                "split": sample.split,
                "captions": sample.captions,
                "path": sample.path,
                "fault": sample.fault,
            }
            _add(tar, f"{number:09d}.json", json.dumps(facts).encode())
            if sample.picture:
                _add(tar, f"{number:09d}.jpg", sample.picture)
            tar.members.clear()  # it keeps all of them otherwise


def _add(tar, name, content):
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


class StagedSource(tars.TarSource):
    """The tars of a stream. A member's suffix says nothing of the picture's format."""

    def __init__(self, source, config, folder):
        self.folder = folder
        self.roots = Roots.of(config, source.folder or folder)
        self._pictures = Pictures.under(self.roots.folders)
        self.published = source.published
        self._stream = source
        self._shares = config.shares
        self.listings = tuple(f"{folder}/{name}.tar" for name, _ in source.shards())

    def items(self, id, split, tar, members):
        facts = json.loads(members["json"])
        id = facts["id"]
        common = {"split": facts["split"], "otherwise": split_by_hash(id, self._shares)}
        try:
            path = members.get("jpg") or (facts["path"] and self._pictures.path(facts["path"]))
            yield Item(id, path=path, **common)
        except UserError as error:
            yield Item(id, facts["split"], fault=str(error))
        if facts["fault"]:
            yield bad_line(id, "", facts["fault"])
        for number, caption in enumerate(facts["captions"]):
            yield Item(id, captions=(caption,), order=(number,), left_out=CAPTION, **common)

    def fingerprint(self):
        return self._stream.fingerprint()
