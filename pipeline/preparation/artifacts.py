"""Files that components leave behind. Each appears by rename, whole; a chunk's sidecar, written last, says it is done."""

import contextlib
import hashlib
import json
import re
import uuid

import tensorflow as tf


@contextlib.contextmanager
def atomic(path):
    """Gives a temporary path to write to; at the end of the block it becomes `path`, after an error it is gone."""
    temporary = f"{path}.{uuid.uuid4().hex[:8]}.tmp"
    try:
        yield temporary
        tf.io.gfile.rename(temporary, path, overwrite=True)
    finally:
        if tf.io.gfile.exists(temporary):
            tf.io.gfile.remove(temporary)


def write_text(path, text):
    with atomic(path) as temporary, tf.io.gfile.GFile(temporary, "w") as file:
        file.write(text)


def write_json(path, value):
    """Deterministic JSON: keys sorted, two spaces."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def read_json(path):
    with tf.io.gfile.GFile(path) as file:
        return json.loads(file.read())


def write_chunk(path, serialized, sidecar):
    """A chunk's records (bytes each) and then its sidecar, a dictionary."""
    with atomic(path) as temporary, tf.io.TFRecordWriter(temporary) as writer:
        for record in serialized:
            writer.write(record)
    write_json(sidecar_of(path), sidecar)


def read_records(path):
    """The bytes of each record of a TFRecord file."""
    for record in tf.data.TFRecordDataset(path):
        yield record.numpy()


def sidecar_of(path):
    return path.removesuffix(".tfrecord") + ".json"


def split_of(path):
    """The split whose name a chunk's or shard's begins with."""
    return path.rsplit("/", 1)[-1].split("-")[0]


def finished_chunks(folder):
    """{chunk file: sidecar} of the finished chunks, in order."""
    names = sorted(
        name for name in tf.io.gfile.listdir(folder) if re.fullmatch(r".*-of-\d+\.json", name)
    )
    return {
        f"{folder}/{name.removesuffix('.json')}.tfrecord": read_json(f"{folder}/{name}")
        for name in names
    }


def concatenate(paths, target):
    """Joins TFRecord files (their bytes can be put in a row) to one; returns its {"bytes", "sha256"}."""
    digest, size = hashlib.sha256(), 0
    with atomic(target) as temporary, tf.io.gfile.GFile(temporary, "wb") as out:
        for path in paths:
            with tf.io.gfile.GFile(path, "rb") as file:
                while block := file.read(1 << 20):
                    out.write(block)
                    digest.update(block)
                    size += len(block)
    return {"bytes": size, "sha256": digest.hexdigest()}
