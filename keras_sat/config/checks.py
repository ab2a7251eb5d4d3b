"""Contradictions between settings of an experiment, each of which is valid by itself.

Each group of settings has a function that returns the message of the first contradiction, with the
way out, or None.
"""

from keras_sat.utils.errors import UserError


def check(experiment, source):
    """Refuses an experiment whose settings contradict each other.

    Args:
        experiment: an `Experiment`.
        source: what it was read from, for the message.

    Raises:
        UserError: the first contradiction, with the way out.
    """
    for find in (
        _crops,
        _fine_tuning,
        _self_critical,
        _filter_of_cnn,
        _batch_norm_statistics,
        _transformer,
    ):
        message = find(experiment)
        if message:
            raise UserError(f"{source}: {message}")


def _crops(experiment):
    for name in ("data", "prepare"):
        section = getattr(experiment, name)
        if section.crops and not section.mirror:
            return f"{name}.crops: every second crop is flipped horizontally; set {name}.mirror too"
    return None


def _fine_tuning(experiment):
    batching = experiment.data.batching
    if experiment.finetune.from_layer and batching != "images":
        return (
            f"data.batching: {batching} would run the CNN once per caption; "
            "with finetune.from_layer set it to images"
        )
    return None


def _self_critical(experiment):
    train = experiment.train
    if train.objective != "cider":
        return None
    decode = getattr(experiment.model, "decode", "expectation")
    if experiment.data.batching != "images":
        return (
            "train.objective: cider compares with all captions of an image; "
            "set data.batching to images"
        )
    if not experiment.init_from:
        return (
            "train.objective: cider improves a captioner that writes sentences already; "
            "name its run as init_from"
        )
    if train.select_by == "loss":
        return (
            "train.select_by: loss gets worse where train.objective: cider gets better; "
            "select by cider or bleu4"
        )
    if decode != "expectation":
        return (
            f"model.decode: {decode} teaches the attention nothing with train.objective: cider; "
            "set it to expectation"
        )
    if train.samples < 2:
        return f"train.samples: {train.samples} cannot be compared; set it to 2 or more"
    if train.teachers:
        return "train.teachers: have no effect with train.objective: cider; leave them out"
    return None


def _filter_of_cnn(experiment):
    model = experiment.model
    if getattr(model, "filter_layer", None) and model.annotation_size:
        return (
            "model.filter_layer: convolves the CNN's own activations; "
            "leave model.annotation_size at 0"
        )
    return None


def _batch_norm_statistics(experiment):
    if experiment.finetune.batch_norm != "trained":
        return None
    if experiment.train.average:
        return (
            "train.average: would not average BatchNorm's statistics; "
            "leave finetune.batch_norm=frozen"
        )
    if experiment.data.sharding == "files":
        return (
            "data.sharding: files has steps at which a worker sees no image, which BatchNorm's "
            "statistics cannot handle; set it to rows, or leave finetune.batch_norm=frozen"
        )
    return None


def _transformer(experiment):
    model = experiment.model
    if model.name != "transformer":
        return None
    if model.width % model.heads:
        return (
            f"model.width: {model.width} cannot be shared out among model.heads {model.heads}; "
            "choose a multiple"
        )
    if model.attention_layer > model.decoder_layers:
        return (
            f"model.attention_layer: {model.attention_layer} of model.decoder_layers "
            f"{model.decoder_layers} does not exist; 0 is the last"
        )
    if model.meshed and model.encoder_layers < 2:
        return (
            "model.meshed: connects several encoder layers; set model.encoder_layers to 2 or more"
        )
    longest = experiment.decoding.max_length
    if longest > model.positions:
        return (
            f"decoding.max_length: {longest} is more than the model.positions {model.positions} "
            "that the captioner was built with; lower it, or train with more positions"
        )
    return None
