"""Tiny corpora in the exact formats of the published ones, written where a test wants them."""

import hashlib
import io
import json
import re

import numpy as np
from PIL import Image

from keras_sat.utils.hashing import SUMS


def picture(seed, size=(40, 30), format="JPEG", **options):
    """Encoded noise, which differs for every seed. As in PIL, size is (width, height)."""
    pixels = np.random.default_rng(seed).integers(0, 256, [4, 4, 3]).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).resize(size, Image.Resampling.NEAREST).save(file, format, **options)
    return file.getvalue()


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def caption(name, number):
    return f"A dog number {number} runs near {name[:1]} ."


def tokens(names, captions=5):
    return "".join(
        f"{name}#{number}\t{caption(name, number)}\n"
        for name in names
        for number in range(captions)
    )


def flickr8k(folder, train=8, val=3, test=3):
    """As published; returns {split: names}."""
    names = {
        split: [f"{split}{i}_a.jpg" for i in range(n)]
        for split, n in (("train", train), ("val", val), ("test", test))
    }
    every = [name for each in names.values() for name in each]
    for seed, name in enumerate(every):
        write(folder / "Flicker8k_Dataset" / name, picture(seed))
    write(folder / "Flickr8k.token.txt", tokens(every))
    for split, file in (("train", "train"), ("val", "dev"), ("test", "test")):
        if names[split]:
            write(
                folder / f"Flickr_8k.{file}Images.txt",
                "".join(name + "\n" for name in names[split]),
            )
    return names


def karpathy(folder, name, places):
    """dataset_NAME.json of {(filepath or None, filename): split}, with the pictures."""
    images = []
    for number, ((filepath, filename), split) in enumerate(places.items()):
        sentences = [
            {
                "tokens": ["a", "dog"],
                "raw": caption(filename, n),
                "imgid": number,
                "sentid": 5 * number + n,
            }
            for n in range(5)
        ]
        image = {
            "sentids": [each["sentid"] for each in sentences],
            "imgid": number,
            "sentences": sentences,
        }
        image |= {"split": split, "filename": filename}
        image |= {"filepath": filepath, "cocoid": 1000 + number} if filepath else {}
        images.append(image)
    write(folder / f"dataset_{name}.json", json.dumps({"images": images, "dataset": name}))


def digests(folder):
    """{file: hash}, without the one statistic that describes the job instead of the data.

    The date in encoder.keras describes the job too, and SHA256SUMS follows from both.
    """
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".keras"}
    del files[SUMS]
    files["statistics.json"] = re.sub(rb'"images_a_second": [0-9.]+', b"", files["statistics.json"])
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
