"""StatisticsGen: counts what is in the records.

Its word counts make the vocabulary, its lengths give the number of batches.
"""

import collections

import apache_beam as beam
from apache_beam.metrics import Metrics

from keras_sat.text.tokeniser import split as split_words
from pipeline.preparation import artifacts, beam_runner, leaks
from pipeline.sources.base import SPLITS

# The statistics that the summary gives as [least, most].
RANGES = ("captions_an_image", "words_a_caption", "height", "width")


def count_values(chunks, path, options):
    """Counts the chunks of ExampleGen and writes {split: {kind: {value: count}}} to a file.

    The kinds are `words` (occurrences), `lengths` (captions by their number of ids, END included),
    `longest` (images by their longest caption), `captions` (images by their number of captions) and
    `sizes` (images by height x width).

    Args:
        chunks: {chunk file: {"leaked": ids of images to leave out}}.
        path: the JSON file to write.
        options: Beam's options.
    """

    def build(pipeline):
        (
            pipeline
            | beam.Create([(path, chunk["leaked"]) for path, chunk in chunks.items()])
            | beam.Reshuffle()
            | "CountChunk" >> beam.FlatMapTuple(_count_chunk)
            | "Add" >> beam.CombinePerKey(sum)
            | "Gather" >> beam.CombineGlobally(beam.combiners.ToListCombineFn())
            | "Write" >> beam.Map(_write, path)
        )

    beam_runner.run_job(build, options, "counting")


def _count_chunk(chunk, leaked):
    """The items ((split, kind, value), count) of one chunk."""
    split = artifacts.split_of(chunk)
    records = list(leaks.read_kept(chunk, leaked))
    texts = []
    for record in records:
        texts += record.captions
    remaining = iter(split_words(texts).to_list())
    counts = collections.Counter()
    for record in records:
        captions = [next(remaining) for _ in record.captions]
        lengths = [len(words) + 1 for words in captions]  # END included
        for words in captions:
            counts.update((split, "words", word.decode()) for word in words)
            Metrics.counter("StatisticsGen", "tokens").inc(len(words))
        counts.update((split, "lengths", length) for length in lengths)
        counts[split, "longest", max(lengths)] += 1
        counts[split, "captions", len(captions)] += 1
        counts[split, "sizes", f"{record.height}x{record.width}"] += 1
    return counts.items()


def _write(counts, path):
    tree = {}
    for (split, kind, value), count in counts:
        kinds = tree.setdefault(split, {})
        kinds.setdefault(kind, {})[str(value)] = count
    artifacts.write_json(path, tree)


def count_failures(failures):
    """{split: {reason: count}} of {split: failures of ExampleGen}."""
    counts = {}
    for split, found in failures.items():
        if found:
            reasons = [failure["error"].partition(":")[0] for failure in found]
            counts[split] = dict(collections.Counter(reasons))
    return counts


def summarise(counts, vocabulary):
    """statistics.json: images, captions, tokens, unknown words, lengths and sizes of each split.

    `coverage` is the share of the distinct words that are in the vocabulary. `unknown_share` is the
    share of the tokens that are not.

    Args:
        counts: what `count_values` wrote.
        vocabulary: a `keras_sat.text.vocabulary.Vocabulary`.
    """
    known = set(vocabulary.words)
    return {split: _summary(counts[split], known) for split in SPLITS if split in counts}


def _summary(kinds, known):
    words = kinds["words"]
    tokens = sum(words.values())
    unknown = sum(count for word, count in words.items() if word not in known)
    sizes = [size.split("x") for size in kinds["sizes"]]
    return {
        "images": sum(kinds["sizes"].values()),
        "captions": sum(kinds["lengths"].values()),
        "tokens": tokens,
        "unknown_words": unknown,
        "unknown_share": round(unknown / max(tokens, 1), 6),
        "distinct_words": len(words),
        "coverage": round(len(known & set(words)) / max(len(words), 1), 6),
        "captions_an_image": _range(int(captions) for captions in kinds["captions"]),
        "words_a_caption": _range(int(length) - 1 for length in kinds["lengths"]),
        "height": _range(int(height) for height, _ in sizes),
        "width": _range(int(width) for _, width in sizes),
        "lengths": kinds["lengths"],
        "longest": kinds["longest"],
        "captions_each": kinds["captions"],
        "sizes": kinds["sizes"],
    }


def _range(values):
    values = list(values)
    return [min(values), max(values)]
