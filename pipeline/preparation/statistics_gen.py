"""StatisticsGen: what is in the records. Its word counts make the vocabulary, its lengths the number of batches."""

import collections

import apache_beam as beam
from apache_beam.metrics import Metrics

from pipeline.preparation import artifacts, beam_runner
from pipeline.sources.base import SPLITS

RANGES = (
    "captions_an_image",
    "words_a_caption",
    "height",
    "width",
)  # as [least, most] in the summary


def run(chunks, path, options):
    """Counts the chunks of ExampleGen and writes {split: {kind: {value: count}}} to `path`.

    Kinds: `words` (occurrences), `lengths` (captions by ids, END included), `longest` (images by their longest
    caption), `captions` (images by number of captions), `sizes` (images by height x width).
    """

    def build(pipeline):
        (
            pipeline
            | beam.Create(chunks)
            | beam.Reshuffle()
            | "CountChunk" >> beam.FlatMap(_count)
            | "Add" >> beam.CombinePerKey(sum)
            | "Gather" >> beam.CombineGlobally(beam.combiners.ToListCombineFn())
            | "Write" >> beam.Map(_write, path)
        )

    beam_runner.run(build, options, "counting")


def _count(chunk):
    from keras_sat.data.examples import deserialize
    from keras_sat.text.tokeniser import split

    name = artifacts.split_of(chunk)
    counts = collections.Counter()
    records = list(map(deserialize, artifacts.read_records(chunk)))
    captions = iter(split([caption for record in records for caption in record.captions]).to_list())
    for record in records:
        words = [[word.decode() for word in next(captions)] for _ in record.captions]
        counts.update((name, "words", word) for caption in words for word in caption)
        counts.update((name, "lengths", len(caption) + 1) for caption in words)
        Metrics.counter("StatisticsGen", "tokens").inc(sum(map(len, words)))
        counts[name, "longest", max(len(caption) + 1 for caption in words)] += 1
        counts[name, "captions", len(words)] += 1
        counts[name, "sizes", f"{record.height}x{record.width}"] += 1
    return counts.items()


def _write(counts, path):
    tree = collections.defaultdict(lambda: collections.defaultdict(dict))
    for (split, kind, value), count in counts:
        tree[split][kind][str(value)] = count
    artifacts.write_json(path, tree)


def count_failures(failures):
    """{split: {reason: count}} of {split: failures of ExampleGen}."""
    reasons = {
        split: [failure["error"].partition(":")[0] for failure in found]
        for split, found in failures.items()
        if found
    }
    return {split: dict(collections.Counter(found)) for split, found in reasons.items()}


def summarise(counts, vocabulary):
    """statistics.json: for each split its images, captions, tokens, unknown words, lengths and picture sizes.

    `coverage` is the share of the distinct words that the vocabulary has, `unknown_share` that of the tokens that it lacks.
    """
    known = set(vocabulary.words)
    summary = {}
    for split in (split for split in SPLITS if split in counts):
        kinds = counts[split]
        tokens = sum(kinds["words"].values())
        unknown = sum(count for word, count in kinds["words"].items() if word not in known)
        heights, widths = zip(*(map(int, size.split("x")) for size in kinds["sizes"]))
        summary[split] = {
            "images": sum(kinds["sizes"].values()),
            "captions": sum(kinds["lengths"].values()),
            "tokens": tokens,
            "unknown_words": unknown,
            "unknown_share": round(unknown / max(tokens, 1), 6),
            "distinct_words": len(kinds["words"]),
            "coverage": round(len(known & set(kinds["words"])) / max(len(kinds["words"]), 1), 6),
            "captions_an_image": _range(map(int, kinds["captions"])),
            "words_a_caption": _range(int(length) - 1 for length in kinds["lengths"]),
            "height": _range(heights),
            "width": _range(widths),
            "lengths": kinds["lengths"],
            "longest": kinds["longest"],
            "captions_each": kinds["captions"],
            "sizes": kinds["sizes"],
        }
    return summary


def _range(values):
    values = list(values)
    return [min(values), max(values)]
