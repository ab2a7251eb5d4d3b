"""python -m keras_sat.evaluate --run runs/scenes_soft --split test

Captions a split with a run's best checkpoint and scores the captions with pycocoevalcap, PTB-tokenised, with 95% confidence
intervals. Where the data set knows the boxes of nouns, it also says how much of the attention lies in them, and how many
attributes of one thing the captions give to another. Several runs, or captions of any other program in COCO's results format
(--results), are put side by side, with their paired differences to the first.
"""

import argparse
import dataclasses
from pathlib import Path

from keras_sat.data.prepared import open_prepared
from keras_sat.evaluation.java import java_on_path
from keras_sat.evaluation.results_file import read_results, write_results
from keras_sat.evaluation.scorers import METRICS, check_metrics, default_metrics
from keras_sat.runs import ensemble as ensembles
from keras_sat.utils.errors import UserError, command


def evaluate(run, split="test", metrics=METRICS, limit=0, folder=None, gallery=False):
    """Evaluates a run and writes SPLIT.json, SPLIT_captions.json and SPLIT_images.csv to its evaluation/.

    Args:
        run: a `keras_sat.runs.run.Run`. limit: only so many images (0 = all).
        folder: a prepared data set made with the run's vocabulary and encoder (default: the one it was trained on).
        gallery: write SPLIT_gallery.html too.
    Returns:
        The `Evaluation`.
    """
    from keras_sat.evaluation import report

    data = run.data(folder)
    data.shards(split)
    if gallery:
        data.check_inputs(["pixels"])
    model = run.captioner()
    target = run.folder / "evaluation"
    captioned, evaluation = evaluate_model(
        model, run, data, split, metrics, limit, target / f"{split}_captions.json"
    )
    report.write(
        target,
        split,
        run.folder.name,
        evaluation,
        {"decoding": dataclasses.asdict(run.experiment.decoding)},
    )
    if gallery:
        from keras_sat.decoding.captioned import explain_split
        from keras_sat.visualize.gallery import stored_pictures, write_gallery

        def explain(chosen):
            return explain_split(model, data, split, run.vocabulary(), chosen)

        path, title = target / f"{split}_gallery.html", f"{run.folder.name}, {split} split"
        write_gallery(path, title, evaluation, captioned, stored_pictures(data, split), explain)
    return evaluation


def evaluate_model(model, run, data, split, metrics=METRICS, limit=0, results=None):
    """Captions a split with a model of a run and measures captions and attention.

    Args:
        results: a file for the captions in COCO's results format, written before they are scored: scoring may fail.
    Returns:
        ([`Captioned` of each image], `Evaluation`).
    """
    from keras_sat.data.reading import reading
    from keras_sat.decoding.captioned import caption_split
    from keras_sat.decoding.search import caption_function
    from keras_sat.evaluation.attention_correctness import describe_attention, evaluate_attention

    vocabulary = run.vocabulary()
    with reading(data, split):
        generate = caption_function(model, run.experiment.decoding)
        captioned = caption_split(generate, model, data, split, vocabulary, limit)
        if results:
            write_results(results, {each.source_id: each.caption for each in captioned})
        records = _records(data, split, limit)
        attention = evaluate_attention(model, data, split, vocabulary, captioned, records)
    return captioned, _measure(
        captioned, records, data, metrics, attention | describe_attention(captioned)
    )


def evaluate_captions(captions, data, split="test", metrics=METRICS, source="captions"):
    """The `Evaluation` of captions {image id: caption} of any origin; `source`: what messages call it.

    Raises:
        UserError: they are not of this split.
    """
    from keras_sat.data.reading import reading
    from keras_sat.decoding.captioned import Captioned
    from keras_sat.evaluation.results_file import check_split

    with reading(data, split):
        records = _records(data, split)
        check_split(source, captions, data, split, records)
    captioned = [
        Captioned(image, caption, float("nan"), None, None) for image, caption in captions.items()
    ]
    return _measure(captioned, {image: records[image] for image in captions}, data, metrics)


def _records(data, split, limit=0):
    """{source id: `Record`} of a split, without what is large."""
    from keras_sat.data.examples import MAPS
    from keras_sat.data.reading import read_records

    nothing = {"encoded": b"", "proposals": None, **dict.fromkeys(MAPS)}
    return {
        record.source_id: dataclasses.replace(record, **nothing)
        for record in read_records(data, split, limit)
    }


def _measure(captioned, records, data, metrics, attention=None):
    from keras_sat.decoding.captioned import normalised, normalised_references
    from keras_sat.evaluation import diversity
    from keras_sat.evaluation.binding import misbound
    from keras_sat.evaluation.evaluation import evaluation_of

    captions = {each.source_id: each.caption for each in captioned}
    plain = dict(zip(captions, normalised(captions.values())))
    references = normalised_references(records.values())
    values = diversity.values_of(plain, references, diversity.training_captions(data)) | (
        attention or {}
    )
    values["misbound"] = {
        image: misbound(caption.split(), records[image].phrases, references[image])
        for image, caption in plain.items()
    }
    published = {image: record.captions for image, record in records.items()}
    return evaluation_of(captions, published, metrics, values, diversity.facts_of(plain.values()))


@command
def main(arguments=None):
    default, note = default_metrics()
    parser = argparse.ArgumentParser(
        prog="python -m keras_sat.evaluate", description=__doc__.split("\n\n")[1]
    )
    ensembles.add_arguments(parser, "several are evaluated side by side", required=False)
    parser.add_argument(
        "--ensemble", action="store_true", help="evaluate the runs as one captioner, too"
    )
    parser.add_argument(
        "--results",
        action="append",
        default=[],
        metavar="JSON",
        help="captions in COCO's results format",
    )
    parser.add_argument("--split", default="test", help="train, val or test (default)")
    parser.add_argument(
        "--data",
        metavar="DIR",
        help="the prepared data set (default: the one the run was trained on)",
    )
    parser.add_argument(
        "--metrics", default=",".join(default), help="comma-separated (default: %(default)s)"
    )
    parser.add_argument("--limit", type=int, default=0, metavar="N", help="only the first N images")
    parser.add_argument(
        "--gallery", action="store_true", help="write a page of best, worst and random captions"
    )
    parser.add_argument(
        "--output", metavar="DIR", help="for the table of several systems (default: comparison)"
    )
    args = parser.parse_args(arguments)
    metrics = check_metrics(args.metrics.split(","))
    if not args.run and not (args.results and args.data):
        raise UserError("say what to evaluate: --run DIR, or --results JSON with --data DIR")
    if args.results and args.limit:
        raise UserError("--limit: a results file is scored as a whole; leave it out")
    java_on_path()  # which the Penn Treebank tokeniser needs, rather than after all captions are written
    results = {path: read_results(path) for path in args.results}
    from keras_sat.evaluation.report import table, write_comparison

    groups = [[folder] for folder in args.run] + [args.run] * (args.ensemble and len(args.run) > 1)
    runs = [ensembles.with_arguments(ensembles.open_runs(group), args) for group in groups]
    names = [run.folder.name for run in runs]
    systems = {}
    for run, name in zip(runs, names):
        title = name if names.count(name) == 1 else str(run.folder)
        systems[title] = evaluate(run, args.split, metrics, args.limit, args.data, args.gallery)
    if args.results:
        data = open_prepared(args.data) if args.data else runs[0].data()
        systems |= {
            path: evaluate_captions(each, data, args.split, metrics, path)
            for path, each in results.items()
        }
    kinds = [".json", "_captions.json", "_images.csv", *["_gallery.html"] * args.gallery]
    written = [f"{run.folder}/evaluation/{args.split}{', '.join(kinds)}" for run in runs]
    if len(systems) > 1 or args.output:
        output = Path(args.output or "comparison")
        text = write_comparison(output, systems)
        written.append(f"{output}/table.md, table.json, images.csv")
    else:
        text = table(systems)
    images = len(next(iter(systems.values())).captions)
    print(f"{args.split} split, {images} images, percent, 95% confidence intervals\n\n{text}\n")
    print("\n".join([*written, note] if args.metrics == ",".join(default) else written))


if __name__ == "__main__":
    main()
