"""Settings of an experiment that are right one by one, but not together."""

from keras_sat.utils.errors import UserError


def check(experiment, source):
    """Raises: UserError: the first contradiction, with its way out; `source`: what the experiment was read from."""
    data, model, finetune, train = (
        experiment.data,
        experiment.model,
        experiment.finetune,
        experiment.train,
    )
    cider, decode = train.objective == "cider", getattr(model, "decode", "expectation")
    for wrong, message in (
        (
            data.crops and not data.mirror,
            "data.crops: every second cut-out is mirrored; set data.mirror too",
        ),
        (
            experiment.prepare.crops and not experiment.prepare.mirror,
            "prepare.crops: every second cut-out is mirrored; set prepare.mirror too",
        ),
        (
            finetune.from_layer and data.batching != "images",
            f"data.batching: {data.batching} would run the CNN once a caption; with finetune.from_layer set it to images",
        ),
        (
            cider and data.batching != "images",
            "train.objective: cider compares with all captions of an image; set data.batching to images",
        ),
        (
            cider and not experiment.init_from,
            "train.objective: cider improves a captioner that writes sentences already; name its run as init_from",
        ),
        (
            cider and train.select_by == "loss",
            "train.select_by: loss gets worse where train.objective: cider gets better; select by cider or bleu4",
        ),
        (
            cider and decode != "expectation",
            f"model.decode: {decode} teaches the attention nothing with train.objective: cider; set it to expectation",
        ),
        (
            cider and train.samples < 2,
            f"train.samples: {train.samples} cannot be compared; set it to 2 or more",
        ),
        (
            cider and train.teachers,
            "train.teachers: have nothing to say to train.objective: cider; leave them out",
        ),
        (
            getattr(model, "filter_layer", None) and model.annotation_size,
            "model.filter_layer: convolves the CNN's own activations; leave model.annotation_size at 0",
        ),
        (
            train.average and finetune.batch_norm == "trained",
            "train.average: would not average BatchNorm's statistics; leave finetune.batch_norm=frozen",
        ),
        (
            data.sharding == "files" and finetune.batch_norm == "trained",
            "data.sharding: files has steps at which a worker sees no image, which BatchNorm's statistics would not bear; "
            "set it to rows, or leave finetune.batch_norm=frozen",
        ),
    ):
        if wrong:
            raise UserError(f"{source}: {message}")
