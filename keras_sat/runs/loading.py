"""What is loaded from a run's files: its vocabulary, encoder, model and captioner.

Every function takes a `Run`, or a `RunEnsemble` where it says "run or ensemble".
"""

import functools

import tensorflow as tf

from keras_sat import config as configuration
from keras_sat.data.quantisation import dequantise, quantise
from keras_sat.encoder.cnn import OTHER_ENCODER, enlarged, recorded_encoder, unfreeze
from keras_sat.encoder.inputs import PICTURES
from keras_sat.models import build_captioner
from keras_sat.models.ensemble import Ensemble
from keras_sat.models.flipped import Flipped
from keras_sat.runs.checkpoints import read_progress
from keras_sat.text.vocabulary import Vocabulary
from keras_sat.utils.errors import UserError
from keras_sat.utils.hashing import check_sum


def load_vocabulary(run):
    """The vocabulary of a run or ensemble.

    Raises:
        UserError: it is not the one that the model was trained with.
    """
    path = run.members[0].folder / "vocabulary.txt"
    vocabulary = Vocabulary.load(path)
    if vocabulary.fingerprint != run.facts.vocabulary:
        raise UserError(
            f"{path}: fingerprint {vocabulary.fingerprint}, but the model was trained with "
            f"{run.facts.vocabulary}; restore the run's own vocabulary"
        )
    return vocabulary


@functools.lru_cache(maxsize=8)  # loading takes seconds
def _encoder(folder, weights, trusted, modified):
    return _checked_encoder(folder, weights, trusted)


def _checked_encoder(folder, weights, trusted):
    """Loads the encoder in a folder, if it is the recorded one.

    Args:
        folder: of a run or data set.
        weights: the recorded fingerprint of its weights.
        trusted: see `load_encoder`.
    """
    path = folder / "encoder.keras"
    check_sum(folder, path.name, OTHER_ENCODER)
    return recorded_encoder(path, weights, trusted)


def run_encoder(run):
    """The CNN with which the features of a run or ensemble were made.

    Raises:
        UserError: encoder.keras is another one, cannot be loaded, or would have to be trusted.
    """
    folder = run.members[0].folder
    path = folder / "encoder.keras"
    modified = path.stat().st_mtime_ns if path.exists() else None
    return _encoder(folder, run.facts.encoder["weights"], run.trust_encoder, modified)


def build_model(run):
    """The captioner of a run with its initial weights.

    Raises:
        UserError: the CNN to train lacks the layer to train from.
    """
    finetune = run.experiment.finetune
    cnn = None
    if finetune.from_layer:
        # A copy of its own: it will be changed.
        cnn = _checked_encoder(run.folder, run.facts.encoder["weights"], run.trust_encoder)
        unfreeze(cnn, finetune.from_layer, finetune.batch_norm)
    return build_captioner(
        run.experiment.model,
        run.facts.vocabulary_size,
        run.facts.inputs,
        run.experiment.seed,
        cnn,
        finetune,
    )


def load_model(run, which="best"):
    """The captioner of a run or ensemble with the weights of a checkpoint.

    Args:
        run: a `Run` or `RunEnsemble`.
        which: best or last, a folder in the run's `checkpoints`.

    Raises:
        UserError: no checkpoint yet, one that does not fit, or one of another vocabulary.
    """
    models = [_load_member(member, which) for member in run.members]
    return models[0] if len(models) == 1 else Ensemble(models)


def _load_member(run, which):
    path = run.checkpoint(which)
    model = build_model(run)
    progress = read_progress(path)
    if progress.vocabulary != run.facts.vocabulary:
        raise UserError(
            f"{path}: belongs to vocabulary {progress.vocabulary}, "
            f"the run to {run.facts.vocabulary}"
        )
    try:
        status = tf.train.Checkpoint(model=model).restore(path)
        status.expect_partial().assert_existing_objects_matched()
    except (ValueError, AssertionError, tf.errors.OpError) as error:
        raise UserError(
            f"{path}: does not fit the model of {run.folder}/config.yaml ({error})"
        ) from error
    return model


def captioner_inputs(run):
    """The shapes of the inputs of a run's or ensemble's captioner, see `load_captioner`.

    Returns:
        {name: shape of one image's input}.

    Raises:
        UserError: decoding.mirror, and an input that cannot be flipped.
    """
    inputs = dict(run.facts.inputs)
    size = run.facts.encoder["image_size"]
    for name in run.experiment.decoding.extra_inputs(inputs):
        inputs[name] = [size, size, 3]
    return inputs


def load_captioner(run, model=None):
    """The captioner under the decoding settings of a run or ensemble.

    That is its model. With `decoding.mirror` it is an ensemble of the model and the same model on
    the horizontally flipped picture.

    Args:
        run: a `Run` or `RunEnsemble`.
        model: from `load_model`, which is the default.

    Raises:
        UserError: as `load_model`; an input that cannot be flipped.
    """
    model = model or load_model(run)
    inputs = captioner_inputs(run)
    if not run.experiment.decoding.mirror:
        return model
    words = load_vocabulary(run).mirrored
    return Ensemble([model, Flipped(model, picture_features(run), inputs["pixels"], words)])


def picture_features(run):
    """A function from decoded pictures to the inputs of a run's or ensemble's captioner.

    Feature maps are quantised as preparation stores them, so that the model gets the same values as
    in training.

    Returns:
        A compiled function from {name: [B, …]}, see `keras_sat.encoder.inputs.picture_inputs`, to
        {name: [B, …]}.
    """
    names = captioner_inputs(run)
    encoders = {}
    if "features" in names:
        encoders["features"] = run_encoder(run)
    if "region_features" in names:
        size = run.facts.proposals["image_size"]
        encoders["region_features"] = enlarged(run_encoder(run), size)
    quantisation = run.facts.encoder["quantisation"]

    @tf.function(autograph=False, reduce_retracing=True)
    def features(pictures):
        inputs = {name: pictures[name] for name in names if name not in encoders}
        for name, encoder in encoders.items():
            feature_map = encoder(pictures[PICTURES[name]], training=False)
            inputs[name] = dequantise(*quantise(feature_map, quantisation))
        return inputs

    return features


def describe(run):
    """What was trained, on which data and by which code, for JSON.

    Raises:
        UserError: the run is not trained yet.
    """
    best = read_progress(run.checkpoint())
    settings = configuration.as_dict(run.experiment)
    described = {
        "run": run.folder.name,
        "checkpoint": run.fingerprint(),
        "commit": best.commit,
        "best_epoch": best.best_epoch,
        "teachers": best.teachers,
        "changes": best.changes,
        "data": {**settings["data"], "fingerprint": run.facts.data},
    }
    for key in ("seed", "init_from", "model", "finetune", "train"):
        described[key] = settings[key]
    return described
