"""python -m keras_sat.evaluate --run runs/scenes_soft --split test

Captions a split with the run's best checkpoint and scores the captions with pycocoevalcap, PTB-tokenised. Where the data
set knows the boxes of nouns, it also says how much of the attention lies in them.
"""

import argparse

from keras_sat.errors import UserError, command

METRICS = "bleu,meteor,rouge,cider"


def evaluate(run, split="test", metrics=tuple(METRICS.split(",")), limit=0):
    """Evaluates a run and writes evaluation/SPLIT.json and SPLIT_captions.json.

    Args:
        run: a `keras_sat.runs.Run`. limit: only so many images (0 = all).
    Returns:
        {"bleu1": …, "cider": …, "correctness_truth": …}, fractions.
    """
    from keras_sat.data import input_pipeline
    from keras_sat.evaluation import report
    from keras_sat.evaluation.attention_correctness import evaluate_attention
    from keras_sat.evaluation.generate import caption_split
    from keras_sat.evaluation.scorers import score

    data, vocabulary = run.data(), run.vocabulary()
    data.shards(split)
    model = run.load_model()
    captioned = caption_split(model, data, split, vocabulary, run.experiment.decoding, limit)
    records = {record.source_id: record for record in input_pipeline.read_records(data, split, limit)}
    captions = {each.source_id: each.caption for each in captioned}
    scores, _ = score(captions, {name: record.captions for name, record in records.items()}, metrics)
    scores |= evaluate_attention(model, data, split, vocabulary, captioned, records)
    report.write(run.folder / "evaluation", split, scores, captioned)
    return scores


@command
def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m keras_sat.evaluate", description=__doc__.split("\n\n")[1])
    parser.add_argument("--run", required=True, metavar="DIR", help="a trained run")
    parser.add_argument("--split", default="test", help="train, val or test (default)")
    parser.add_argument("--metrics", default=METRICS, help=f"comma-separated (default: {METRICS})")
    parser.add_argument("--limit", type=int, default=0, metavar="N", help="only the first N images")
    args = parser.parse_args(arguments)
    from keras_sat.runs import open_run

    run = open_run(args.run)
    metrics = tuple(args.metrics.split(","))
    if unknown := set(metrics) - set(METRICS.split(",")):
        raise UserError(f"--metrics {unknown.pop()}: unknown; known: {METRICS}")
    scores = evaluate(run, args.split, metrics, args.limit)
    from keras_sat.evaluation.report import table

    print(table({f"{run.folder.name}, {args.split}": scores}))
    print(f"\n{run.folder}/evaluation/{args.split}.json, {args.split}_captions.json")


if __name__ == "__main__":
    main()
