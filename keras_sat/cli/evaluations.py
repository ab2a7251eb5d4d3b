"""Evaluating runs and results files side by side, as `keras-sat evaluate` and the pipeline do."""

from pathlib import Path

from keras_sat.data.prepared import open_prepared
from keras_sat.decoding.captioned import explain_split
from keras_sat.evaluation.evaluate import evaluate, evaluate_captions
from keras_sat.evaluation.report import coverage, table, write_comparison
from keras_sat.runs.loading import load_vocabulary
from keras_sat.utils.errors import UserError
from keras_sat.visualize.gallery import stored_pictures, write_gallery


def evaluate_run(run, split, metrics, limit=0, folder=None, gallery=False):
    """The `Evaluation` of a `Run` or `RunEnsemble`.

    The other arguments are those of `keras_sat.evaluation.evaluate.evaluate`.

    Args:
        gallery: whether to write SPLIT_gallery.html too.

    Raises:
        UserError: as `evaluate`; a gallery of a data set without pictures.
    """
    if gallery:
        run.data(folder).check_inputs(["pixels"])
    evaluated = evaluate(run, split, metrics, limit, folder)
    if gallery:

        def explain(captioned):
            vocabulary = load_vocabulary(run)
            return explain_split(evaluated.model, evaluated.data, split, vocabulary, captioned)

        write_gallery(
            run.folder / "evaluation" / f"{split}_gallery.html",
            f"{run.folder.name}, {split} split",
            evaluated.evaluation,
            evaluated.captioned,
            stored_pictures(evaluated.data, split),
            explain,
        )
    return evaluated.evaluation


def evaluate_side_by_side(runs, results, args, metrics):
    """Evaluates runs and results files, and makes their table.

    Args:
        runs: `Run`s and `RunEnsemble`s.
        results: {path: {image id: caption}} of results files.
        args: the arguments of `keras-sat evaluate`.
        metrics: names, see `keras_sat.evaluation.scorers`.

    Returns:
        ({title: `Evaluation`}, the table in Markdown, the names of the files written).
    """
    names = [run.folder.name for run in runs]
    systems = {}
    written = []
    kinds = [".json", "_captions.json", "_images.csv"]
    if args.gallery:
        kinds.append("_gallery.html")
    others = _evaluate_results(runs, results, args, metrics)
    for run, name in zip(runs, names):
        title = name if names.count(name) == 1 else str(run.folder)
        systems[title] = evaluate_run(run, args.split, metrics, args.limit, args.data, args.gallery)
        written.append(f"{run.folder}/evaluation/{args.split}{', '.join(kinds)}")
    systems |= others
    if len(systems) == 1 and not args.output:
        return systems, table(systems) + coverage(systems), written
    output = Path(args.output or "comparison")
    text = write_comparison(output, systems)
    written.append(f"{output}/table.md, table.json, images.csv")
    return systems, text, written


def _evaluate_results(runs, results, args, metrics):
    """{path: `Evaluation`} of results files, which is known before the runs caption anything.

    Raises:
        UserError: a file that is to stand beside a run covers only a part of the split.
    """
    systems = {}
    if not results:
        return systems
    data = open_prepared(args.data) if args.data else runs[0].data()
    for path, captions in results.items():
        evaluation = evaluate_captions(captions, data, args.split, metrics, path)
        images = data.images(args.split)
        if runs and len(captions) < images:
            raise UserError(
                f"{path}: covers {len(captions)} of the {images} images of the split "
                f"{args.split}; beside a run it must cover all; score it without --run"
            )
        systems[path] = evaluation
    return systems
