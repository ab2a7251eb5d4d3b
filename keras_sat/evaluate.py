"""python -m keras_sat.evaluate --run runs/scenes_soft --split test

Captions a split with the run's best checkpoint and scores the captions with pycocoevalcap, PTB-tokenised. Where the data
set knows the boxes of nouns, it also says how much of the attention lies in them, and how many attributes of one thing the
captions give to another.
"""

import argparse

from keras_sat import ensembles
from keras_sat.errors import command
from keras_sat.evaluation.scorers import METRICS, check_metrics


def evaluate(run, split="test", metrics=METRICS, limit=0, folder=None):
    """Evaluates a run and writes evaluation/SPLIT.json and SPLIT_captions.json.

    Args:
        run: a `keras_sat.runs.Run`. limit: only so many images (0 = all).
        folder: a prepared data set made with the run's vocabulary and encoder (default: the one it was trained on).
    Returns:
        {"bleu1": …, "cider": …, "correctness_truth": …}, fractions.
    """
    from keras_sat.data import input_pipeline
    from keras_sat.decoding import caption_function
    from keras_sat.evaluation import report
    from keras_sat.evaluation.attention_correctness import describe_attention, evaluate_attention
    from keras_sat.evaluation.binding import misbound_share
    from keras_sat.evaluation.generate import caption_split
    from keras_sat.evaluation.scorers import score

    data, vocabulary = run.data(folder), run.vocabulary()
    data.shards(split)
    model = run.load_model()
    with data.reading(split):
        generate = caption_function(model, run.experiment.decoding)
        captioned = caption_split(generate, model, data, split, vocabulary, limit)
        records = {record.source_id: record for record in input_pipeline.read_records(data, split, limit)}
        attention = evaluate_attention(model, data, split, vocabulary, captioned, records)
    captions = {each.source_id: each.caption for each in captioned}
    scores, _ = score(captions, {name: record.captions for name, record in records.items()}, metrics)
    scores |= attention | describe_attention(captioned)
    if (misbound := misbound_share(captioned, records)) is not None:
        scores["misbound"] = misbound
    report.write(run.folder / "evaluation", split, scores, captioned)
    return scores


@command
def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m keras_sat.evaluate", description=__doc__.split("\n\n")[1])
    ensembles.add_arguments(parser, "several are evaluated side by side")
    parser.add_argument("--ensemble", action="store_true", help="evaluate the runs as one captioner, too")
    parser.add_argument("--split", default="test", help="train, val or test (default)")
    parser.add_argument("--data", metavar="DIR", help="the prepared data set (default: the one the run was trained on)")
    parser.add_argument("--metrics", default=",".join(METRICS), help="comma-separated (default: %(default)s)")
    parser.add_argument("--limit", type=int, default=0, metavar="N", help="only the first N images")
    args = parser.parse_args(arguments)
    metrics = check_metrics(args.metrics.split(","))
    groups = [[folder] for folder in args.run] + [args.run] * (args.ensemble and len(args.run) > 1)
    runs = [ensembles.with_arguments(ensembles.open_runs(group), args) for group in groups]
    scores = {run.folder.name: evaluate(run, args.split, metrics, args.limit, args.data) for run in runs}
    from keras_sat.evaluation.report import table

    print(f"{args.split} split, percent\n\n{table(scores)}\n")
    for run in runs:
        print(f"{run.folder}/evaluation/{args.split}.json, {args.split}_captions.json")


if __name__ == "__main__":
    main()
