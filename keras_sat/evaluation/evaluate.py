"""Evaluating a run on a split: captions, scores, attention, and the files that record them."""

import dataclasses
from typing import NamedTuple

from keras_sat.data.examples import MAPS
from keras_sat.data.prepared import PreparedData
from keras_sat.data.reading import read_captions, read_records, reading
from keras_sat.decoding.captioned import (
    Captioned,
    caption_split,
    normalised,
    normalised_references,
)
from keras_sat.decoding.search import caption_function
from keras_sat.evaluation import diversity, report
from keras_sat.evaluation.attention_correctness import describe_attention, evaluate_attention
from keras_sat.evaluation.binding import misbound
from keras_sat.evaluation.evaluation import Evaluation, evaluation_of
from keras_sat.evaluation.results_file import write_results
from keras_sat.evaluation.scorers import METRICS
from keras_sat.runs.loading import load_captioner, load_vocabulary
from keras_sat.utils.errors import UserError


class Evaluated(NamedTuple):
    """What the evaluation of a run on a split gives.

    Attributes:
        evaluation: an `Evaluation`.
        captioned: the `Captioned` of each image.
        model: the captioner that generated the captions.
        data: a `PreparedData`.
    """

    evaluation: Evaluation
    captioned: list[Captioned]
    model: object
    data: PreparedData


def evaluate(run, split="test", metrics=METRICS, limit=0, folder=None):
    """Evaluates a run and writes the results to its evaluation/.

    The files are SPLIT.json, SPLIT_captions.json and SPLIT_images.csv.

    Args:
        run: a `Run` or `RunEnsemble`.
        split: train, val or test.
        metrics: names, see `keras_sat.evaluation.scorers`.
        limit: the number of images, from the first (0 = all).
        folder: a prepared data set made with the run's vocabulary and encoder (default: the one it
            was trained on).

    Returns:
        An `Evaluated`.
    """
    data = run.data(folder)
    data.shards(split)
    model = load_captioner(run)
    target = run.folder / "evaluation"
    captioned, evaluation = evaluate_model(
        model, run, data, split, metrics, limit, target / f"{split}_captions.json"
    )
    settings = {"decoding": dataclasses.asdict(run.experiment.decoding)}
    report.write(target, split, run.folder.name, evaluation, settings)
    return Evaluated(evaluation, captioned, model, data)


def evaluate_model(model, run, data, split, metrics=METRICS, limit=0, results=None):
    """Captions a split with a model of a run, and measures captions and attention.

    Args:
        model: a `Captioner` or an `Ensemble`.
        run: the `Run` or `RunEnsemble` that it belongs to.
        data: a `PreparedData`.
        split: train, val or test.
        metrics: names, see `keras_sat.evaluation.scorers`.
        limit: the number of images, from the first (0 = all).
        results: a file for the captions in COCO's results format, written before they are scored,
            since scoring may fail.

    Returns:
        ([`Captioned` of each image], `Evaluation`).
    """
    vocabulary = load_vocabulary(run)
    with reading(data, split):
        generate = caption_function(model, run.experiment.decoding)
        captioned = caption_split(generate, model, data, split, vocabulary, limit)
        if results:
            write_results(results, {each.source_id: each.caption for each in captioned})
        records = _records(data, split, limit)
        attention = evaluate_attention(model, data, split, vocabulary, captioned, records)
    attention |= describe_attention(captioned)
    captions = {each.source_id: each.caption for each in captioned}
    return captioned, _measure(captions, records, data, metrics, attention)


def evaluate_captions(captions, data, split="test", metrics=METRICS, source="captions"):
    """The `Evaluation` of captions of any origin.

    Args:
        captions: {image id: caption}.
        data: a `PreparedData`.
        split: train, val or test.
        metrics: names, see `keras_sat.evaluation.scorers`.
        source: the name of the captions in messages.

    Raises:
        UserError: the captions are not of this split.
    """
    with reading(data, split):
        records = _records(data, split)
        check_split(source, captions, data, split, records)
    chosen = {image: records[image] for image in captions}
    evaluation = _measure(captions, chosen, data, metrics, attention={})
    return dataclasses.replace(evaluation, split_images=len(records))


def _records(data, split, limit=0):
    """{source id: `Record`} of a split, without pictures, proposals and feature maps."""
    nothing = {"encoded": b"", "proposals": None, **dict.fromkeys(MAPS)}
    records = {}
    for record in read_records(data, split, limit):
        records[record.source_id] = dataclasses.replace(record, **nothing)
    return records


def _measure(captions, records, data, metrics, attention):
    """The `Evaluation` of captions {image id: caption}.

    Args:
        captions: {image id: caption}.
        records: {image id: `Record`} of the same images.
        data: a `PreparedData`.
        metrics: names, see `keras_sat.evaluation.scorers`.
        attention: {name: {image id: [numbers]}}.
    """
    plain = dict(zip(captions, normalised(captions.values())))
    references = normalised_references(records.values())
    values = diversity.values_of(plain, references, diversity.training_captions(data)) | attention
    values["misbound"] = {}
    for image, caption in plain.items():
        phrases = records[image].phrases
        values["misbound"][image] = misbound(caption.split(), phrases, references[image])
    published = {image: record.captions for image, record in records.items()}
    return evaluation_of(captions, published, metrics, values, diversity.facts_of(plain.values()))


def check_split(path, captions, data, split, known):
    """Checks that captions belong to images of a split.

    Args:
        path: the file of the captions, for the message.
        captions: {image id: caption}, as of `read_results(path)`.
        data: a `PreparedData`.
        split: the split's name.
        known: the split's image ids.

    Raises:
        UserError: names an image that is not in the split, and the split that it is in, if any.
    """
    strange = [image for image in captions if image not in known]
    if not strange:
        return
    image = strange[0]
    others = [name for name in data.manifest["splits"] if name != split]
    home = _split_with(image, data, others)
    if home:
        way_out = f"it belongs to {home}; say --split {home}"
    else:
        way_out = "no split of it has this image"
    raise UserError(
        f"{path}: image {image} is not in the split {split} of {data.folder}: {way_out}"
    )


def _split_with(image, data, splits):
    """The first of these splits that has the image, or None."""
    for split in splits:
        if any(name == image for name, _ in read_captions(data, split)):
            return split
    return None
