"""python -m keras_sat.evaluate --run runs/scenes_soft --split test

Captions a split with the run's best checkpoint and scores the captions with pycocoevalcap, PTB-tokenised. Where the data
set knows the boxes of nouns, it also says how much of the attention lies in them, and how many attributes of one thing the
captions give to another.
"""

import argparse

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
    from keras_sat.evaluation import report
    from keras_sat.evaluation.attention_correctness import describe_attention, evaluate_attention
    from keras_sat.evaluation.binding import misbound_share
    from keras_sat.evaluation.generate import caption_split
    from keras_sat.evaluation.scorers import score

    data, vocabulary = run.data(folder), run.vocabulary()
    data.shards(split)
    model = run.load_model()
    with data.reading(split):
        captioned = caption_split(model, data, split, vocabulary, run.experiment.decoding, limit)
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
    parser.add_argument("--run", required=True, metavar="DIR", help="a trained run")
    parser.add_argument("--split", default="test", help="train, val or test (default)")
    parser.add_argument("--data", metavar="DIR", help="the prepared data set (default: the one the run was trained on)")
    parser.add_argument("--metrics", default=",".join(METRICS), help="comma-separated (default: %(default)s)")
    parser.add_argument("--limit", type=int, default=0, metavar="N", help="only the first N images")
    args = parser.parse_args(arguments)
    from keras_sat.runs import open_run

    run = open_run(args.run)
    scores = evaluate(run, args.split, check_metrics(args.metrics.split(",")), args.limit, args.data)
    from keras_sat.evaluation.report import table

    print(table({f"{run.folder.name}, {args.split}": scores}))
    print(f"\n{run.folder}/evaluation/{args.split}.json, {args.split}_captions.json")


if __name__ == "__main__":
    main()
