"""Files that components leave behind, on any of TensorFlow's file systems.

Each file appears whole, by a rename. A chunk's sidecar is written last and marks it as finished.
"""

import contextlib
import hashlib
import json
import re
import uuid

import tensorflow as tf

from keras_sat.utils.json_files import parse_json

_BLOCK = 1 << 20  # bytes that are read at once


@contextlib.contextmanager
def atomic_gfile(path):
    """Gives a temporary path to write to.

    At the end of the block it becomes `path`. After an error it is removed. The local counterpart
    is `keras_sat.utils.files.atomic`.
    """
    temporary = f"{path}.{uuid.uuid4().hex[:8]}.tmp"
    try:
        yield temporary
        tf.io.gfile.rename(temporary, path, overwrite=True)
    finally:
        if tf.io.gfile.exists(temporary):
            tf.io.gfile.remove(temporary)


def write_text(path, text):
    with atomic_gfile(path) as temporary, tf.io.gfile.GFile(temporary, "w") as file:
        file.write(text)


def write_json(path, value):
    """Deterministic JSON: keys sorted, two spaces."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def read_json(path):
    """The value of a JSON file that an earlier step or run of the job has written.

    Raises:
        UserError: it is damaged.
    """
    with tf.io.gfile.GFile(path) as file:
        text = file.read()
    return parse_json(text, {"type": "object"}, path, "remove its folder and start the job again")


def write_chunk(path, serialized, sidecar):
    """Writes a chunk and then its sidecar.

    Args:
        path: the chunk's TFRecord file.
        serialized: the bytes of each record.
        sidecar: a dictionary that describes the chunk.
    """
    with atomic_gfile(path) as temporary, tf.io.TFRecordWriter(temporary) as writer:
        for record in serialized:
            writer.write(record)
    write_json(sidecar_of(path), sidecar)


def read_records(path):
    """Yields the bytes of each record of a TFRecord file."""
    for record in tf.data.TFRecordDataset(path):
        yield record.numpy()


def sidecar_of(path):
    """The path of a chunk's sidecar."""
    return path.removesuffix(".tfrecord") + ".json"


def name_of(path):
    """A file's name without its folder."""
    return path.rsplit("/", 1)[-1]


def split_of(path):
    """The split with whose name a chunk's or shard's name begins."""
    return name_of(path).split("-")[0]


def finished_chunks(folder):
    """{chunk file: sidecar} of the finished chunks, in order."""
    names = tf.io.gfile.listdir(folder)
    sidecars = sorted(name for name in names if re.fullmatch(r".*-of-\d+\.json", name))
    chunks = {}
    for name in sidecars:
        chunk = f"{folder}/{name.removesuffix('.json')}.tfrecord"
        chunks[chunk] = read_json(f"{folder}/{name}")
    return chunks


def concatenate(paths, target):
    """Joins TFRecord files, whose bytes may simply follow each other, to one.

    Returns:
        The new file's {"bytes", "sha256"}.
    """
    digest = hashlib.sha256()
    size = 0
    with atomic_gfile(target) as temporary, tf.io.gfile.GFile(temporary, "wb") as out:
        for path in paths:
            with tf.io.gfile.GFile(path, "rb") as file:
                while block := file.read(_BLOCK):
                    out.write(block)
                    digest.update(block)
                    size += len(block)
    return {"bytes": size, "sha256": digest.hexdigest()}
