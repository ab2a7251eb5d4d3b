"""An experiment as frozen dataclasses: read from YAML with `base:`, changed by `--set a.b=c`, checked without TensorFlow.

    experiment = load("configs/scenes_soft.yaml", ["train.epochs=3"])
    experiment.model.state_size

Unknown keys and wrong types raise `UserError`, naming the key, the nearest known key or the expected type.
"""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import yaml

from keras_sat.config import checks as contradictions
from keras_sat.config import reader as settings
from keras_sat.config.systems import SYSTEMS, Areas, Hard, ShowAndTell, Soft
from keras_sat.utils.errors import UserError, nearest

CONFIGS = Path(__file__).resolve().parent.parent.parent / "configs"


@dataclass(frozen=True)
class Encoder:
    """The CNN that turns a picture into annotations.

    `name` is `scenes_cnn` or any constructor of keras.applications (`Xception`, `VGG19`, …; case and `_` do not matter).
    `layer` is the layer whose output is the feature map (default: the network's last). `weights` is `imagenet`
    (for `scenes_cnn`: its own pretraining, a minute), `none`, or a weights file. `image_size`: 224 pixels where none is
    given. `resize`: `squash` to image_size², or `crop` the centre of the picture whose shorter side became
    image_size · 256/224 (VGG's habit). `quantisation` of stored features: `uint8` or `float16`.
    """

    name: str = "scenes_cnn"
    layer: str | None = None
    weights: str = "imagenet"
    image_size: int | None = None
    resize: Literal["squash", "crop"] = "squash"
    quantisation: Literal["uint8", "float16"] = "uint8"

    @property
    def pixels(self):
        """Height and width of the CNN's input."""
        return self.image_size or (128 if self.key == "scenescnn" else 224)

    @property
    def key(self):
        """The name as CNNs are looked up by."""
        return self.name.lower().replace("_", "")


@dataclass(frozen=True)
class Shares:
    """How much of a corpus that names no splits goes to `val` and `test`, by a hash of the image's id; the rest trains."""

    val: float = 0.1
    test: float = 0.1


@dataclass(frozen=True)
class Proposals:
    """Boxes that may hold an object, an image's areas beside the cells of its feature map.

    `method`: `edgeboxes`, `selective_search`, `file` (read from `file`, see `keras_sat.pictures.boxes.read_boxes_file`) or
    `none`. `most`: boxes kept an image, in the order of objectness. `image_size`: pixels of a larger picture on which they
    are sought and from whose feature map, stored beside the encoder's own, they are pooled; none is stored by default.
    """

    method: Literal["none", "edgeboxes", "selective_search", "file"] = "none"
    most: int = 200
    file: str | None = None
    image_size: int | None = None


@dataclass(frozen=True)
class Prepare:
    """What `pipeline.prepare` builds: a corpus, its vocabulary and its features.

    `source` is the corpus' folder; for `scenes`, how many pictures to draw. Words seen `min_count` times in the training
    captions make the vocabulary, at most `max_size` of them. Work is cut into chunks of about `chunk_images` images and
    stored in shards of about `shard_megabytes`. Pictures over `max_pixels` are refused, captions over `max_words`
    left out; more than a share of `max_failures` of unusable images stops the job. So do anomalies against the
    reviewed `schema` (a YAML file; without one, an inferred schema that forbids leaks and missing pictures), unless
    `allow_anomalies`. Records keep the encoded picture unless `keep_pictures` is false; fine-tuning the CNN and
    `decoding.mirror` need it.
    `picture_size`: pixels to which the shorter side of a larger picture is shrunk (to a JPEG of quality 95).
    `mirror` stores, of training pictures, the mirror image's feature map too, for `data.mirror`; `crops` those of so many
    random cut-outs as well, every second one mirrored, for `data.crops`.
    """

    # Settings that decide whether the job goes on, but nothing of what it makes.
    CHECKS = ("max_failures", "schema", "allow_anomalies")

    dataset: Literal["scenes", "flickr8k", "flickr30k", "coco", "karpathy", "folder"] = "scenes"
    source: str = "train=3000,val=300,test=300"
    encoder: Encoder = field(default_factory=Encoder)
    proposals: Proposals = field(default_factory=Proposals)
    keep_pictures: bool = True
    picture_size: int | None = None
    mirror: bool = False
    crops: int = 0
    min_count: int = 5
    max_size: int = 10_000
    chunk_images: int = 64
    shard_megabytes: int = 128
    shares: Shares = field(default_factory=Shares)
    max_pixels: int = 50_000_000
    max_words: int = 100
    max_failures: float = 0.05
    schema: str | None = None
    allow_anomalies: bool = False
    seed: int = 1


@dataclass(frozen=True)
class Data:
    """The prepared data set and how batches are made of it.

    `batching`: `captions` fans an image out into its captions, bucketed by length (N = 1); `images` keeps an
    image's captions together (N = captions an image). `batch_size` counts captions over all devices.
    Images, captions and batches are shuffled within windows of `shuffle_…` of them. With `mirror`, training sees an image
    as it is or mirrored, anew in each epoch; `left` and `right` change places in the captions of mirrored ones. With `crops`
    too, it sees one of all that is stored of the image, the cut-outs among them.
    `sharding`, where several workers train: `rows`: each reads all files and keeps its rows of every batch, so that a run
    does not depend on how many they are; `files`: each reads files of its own, and its rows of every batch come from them.
    """

    path: str = "data/scenes"
    batching: Literal["captions", "images"] = "captions"
    batch_size: int = 64
    bucket_width: int = 2
    max_length: int = 40
    shuffle_images: int = 2_000
    shuffle_captions: int = 8_000
    shuffle_batches: int = 64
    mirror: bool = False
    crops: bool = False
    sharding: Literal["rows", "files"] = "rows"

    def views(self, inputs):
        """The names of the feature maps, of other views of an image, that training reads beside `inputs`.

        Raises:
            UserError: `inputs` of which other views are not stored.
        """
        if self.mirror:
            _check_mirror("data.mirror", inputs)
        if self.crops and set(inputs) != {"features"}:
            raise UserError(
                "data.crops: cut-outs are stored as the CNN's feature maps alone, and the captioner or a teacher reads "
                f"{', '.join(inputs)}; leave it out"
            )
        names = ["mirrored_features"] * self.mirror + ["cropped_features"] * self.crops
        return names if "features" in inputs else []


def _check_mirror(setting, inputs):
    if "region_features" in inputs:
        raise UserError(
            f"{setting}: feature maps of larger pictures are not stored mirrored; leave it out, or use a data set prepared "
            "without proposals.image_size"
        )


@dataclass(frozen=True)
class FineTuning:
    """Training of the CNN, which then stands in the graph and reads pictures instead of stored features.

    `from_layer`: the first of its layers that learns, in Keras' order (none: the CNN is left alone). `rate`: its learning
    rate, × train.learning_rate. `batch_norm`: `frozen` keeps the pretrained statistics and scales.
    """

    from_layer: str | None = None
    rate: float = 0.1
    batch_norm: Literal["frozen", "trained"] = "frozen"


@dataclass(frozen=True)
class Training:
    """Optimisation. Epochs are passes over the training captions; steps are updates.

    `objective`: the `likelihood` of the training captions; or `cider`, the CIDEr-D of captions that the model samples,
    `samples` an image, from a captioner on that has learned by likelihood (`init_from`). The latter knows no label
    smoothing, no dropout but that of features, no penalty and no sampled locations (`keras_sat.training.objectives.SelfCritical`).
    `teachers`: trained runs on the same data set. Their mean distribution over each word then has the share `distillation`
    in the target of the likelihood (`keras_sat.training.objectives.Distillation`).
    `schedule`: `constant`; `cosine` to zero at the last epoch; `step`: × decay_rate each epoch from epoch
    decay_from on (counted from 1); `plateau`: × decay_rate after an epoch from decay_from on without gain in
    `select_by`. All after a linear warm-up of `warmup_steps`.
    `select_by` decides the best checkpoint and early stopping (`patience` epochs; 0 = never): a score of
    generated captions on the validation split, or `loss`, the validation negative log likelihood.
    `max_minutes` ends training early (0 = never); `checkpoint_minutes` is the most that a killed run loses.
    `average`: decay of a moving average of the weights, which, not the weights that training goes on with, is then
    validated and kept as the best checkpoint (0 = none). After n updates the decay is at most (1 + n) / (10 + n), so that
    0.998, the average of some 500 updates, is reached after 4,500.
    `weight_decay` is the factor of ½|θ|² in the loss. `validation_images`: how many are captioned
    after an epoch (0 = all); `pictures`: how many of them TensorBoard shows.
    `accumulate`: in how many parts a batch is worked through before its one update, which needs so many times less memory;
    batch and learning rate mean the same (only a trained BatchNorm sees smaller batches).
    `deterministic` makes a resumed run equal an undisturbed one bit for bit.
    """

    objective: Literal["likelihood", "cider"] = "likelihood"
    samples: int = 5
    teachers: tuple[str, ...] = ()
    distillation: float = 0.5
    epochs: int = 20
    optimizer: Literal["adam", "rmsprop", "sgd"] = "adam"
    learning_rate: float = 4e-4
    schedule: Literal["constant", "cosine", "step", "plateau"] = "constant"
    warmup_steps: int = 0
    decay_from: int = 1
    decay_rate: float = 0.5
    average: float = 0.0
    weight_decay: float = 0.0
    clip_norm: float = 5.0
    label_smoothing: float = 0.0
    accumulate: int = 1
    precision: Literal["float32", "mixed_float16", "mixed_bfloat16"] = "float32"
    select_by: Literal["bleu4", "cider", "meteor", "loss"] = "cider"
    patience: int = 0
    validation_images: int = 0
    pictures: int = 4
    max_minutes: float = 0.0
    checkpoint_minutes: float = 10.0
    deterministic: bool = True


@dataclass(frozen=True)
class Decoding:
    """How captions are generated, in evaluation, in `keras_sat.caption` and in the exported model.

    method               `beam` search; `sample`: words are drawn from their distribution; or `consensus`: beam search,
                         after which the hypothesis comes first that shares most n-grams with such samples
    beam                 K, hypotheses an image: a beam of 1 is greedy decoding; of so many samples the likeliest comes first
    length_penalty       α: finished captions are ranked by log p / length^α, so that 0 prefers short ones
    max_length           words of a caption at most, its end counted as one; min_length: words at least, without its end
    no_repeat_ngram      n: no n words stand twice in a caption (0 = any may)
    samples              of consensus; likelihood_weight: of log p / length^α, beside the share of n-grams, which is 0 to 1
                         (0.1 suits an α of 0.7; for one of 0 it is large)
    unknown              whether the unknown word may be generated
    mirror               whether the mirror image is looked at, too: at every step the mean of both distributions over the
                         next word decides (`left` and `right` changed for each other); the CNN sees both, in evaluation too
    temperature          of samples: below 1, likely words become likelier
    top_k, top_p         samples are of the k likeliest words (0 = of all), and of the fewest that hold the share p
    seed                 of samples, which are a function of it and of the image
    """

    method: Literal["beam", "sample", "consensus"] = "beam"
    beam: int = 3
    length_penalty: float = 0.0
    max_length: int = 25
    min_length: int = 1
    no_repeat_ngram: int = 0
    samples: int = 25
    likelihood_weight: float = 0.1
    unknown: bool = False
    mirror: bool = False
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 1

    def views(self, inputs):
        """The names of what captioning reads beside a model's `inputs`. Raises: UserError: what has no mirror image."""
        if self.mirror:
            _check_mirror("decoding.mirror", inputs)
        return ["pixels"] * self.mirror

    def greedy(self):
        """These settings for the quick look that training takes at its captions."""
        return dataclasses.replace(self, method="beam", beam=1)


@dataclass(frozen=True)
class Scores:
    """Scores that a model must reach, named as `keras_sat.evaluation.scorers` does: fractions of 1, CIDEr-D of 10.

    Those that are none are not asked for.
    """

    bleu1: float | None = None
    bleu2: float | None = None
    bleu3: float | None = None
    bleu4: float | None = None
    meteor: float | None = None
    rouge: float | None = None
    cider: float | None = 0.0
    spice: float | None = None


@dataclass(frozen=True)
class Push:
    """When a trained model may be served, and where it goes; see `pipeline.run`.

    folder               the model's, such as serving/models/NAME; each push adds a version (none: nothing is pushed)
    at_least             the scores that decide, and the least that each must be
    must_not_lose        how much less than those of the last version they may be (none: they are not compared)
    max_batch_size       images that the exported model captions together, see `keras_sat.export`
    pictures             how many the exported model captions on trial, as a server has it
    max_minutes          for the server to start, and again for it to answer
    """

    folder: str | None = None
    at_least: Scores = field(default_factory=Scores)
    must_not_lose: float | None = 0.01
    max_batch_size: int = 64
    pictures: int = 8
    max_minutes: float = 10.0


@dataclass(frozen=True)
class Experiment:
    """`init_from`: a trained run whose weights this one starts from, such as stage 1 of a training in two stages."""

    seed: int = 1
    init_from: str | None = None
    prepare: Prepare = field(default_factory=Prepare)
    data: Data = field(default_factory=Data)
    model: Soft | Hard | ShowAndTell | Areas = field(default_factory=Soft)
    finetune: FineTuning = field(default_factory=FineTuning)
    train: Training = field(default_factory=Training)
    decoding: Decoding = field(default_factory=Decoding)
    push: Push = field(default_factory=Push)

    def inputs(self, available):
        """The names of what the model reads of a record; `available`: what the data set has.

        Raises:
            UserError: settings that contradict each other on this data set.
        """
        names = ["pixels" if self.finetune.from_layer else "features"]
        if getattr(self.model, "areas", None) == "proposals":
            names += ["boxes", *(name for name in available if name == "region_features")]
        if {"pixels", "region_features"} <= set(names):
            raise UserError(
                "finetune.from_layer: the stored feature maps of larger pictures would not learn along; use a data set "
                "prepared without proposals.image_size"
            )
        return tuple(names)


def load(path=None, overrides=()):
    """Reads an experiment.

    Args:
        path: a YAML file, or None for the defaults. Its `base:` names another one, relative to it, that it changes.
        overrides: strings `section.key=value`, the value in YAML, or pairs (`section.key`, value).
    Raises:
        UserError: missing or malformed file, unknown key, wrong type.
    """
    return from_values(settings.read(path, overrides), source=str(path or "--set"))


def from_values(values, source="configuration"):
    """Builds an `Experiment` from nested dictionaries, as read from YAML."""
    model = values.get("model")
    name = model.get("name", "soft") if isinstance(model, dict) else "soft"
    if not isinstance(name, str) or name not in SYSTEMS:
        raise UserError(f"{source}: model.name: unknown model {name!r}{nearest(name, SYSTEMS)}")
    experiment = settings.build(Experiment, values, source, {"model": SYSTEMS[name]})
    contradictions.check(experiment, source)
    return experiment


as_dict = dataclasses.asdict


def with_decoding(experiment, overrides):
    """A trained experiment with other decoding settings; overrides as for `load`, of the section `decoding` alone."""
    for override in overrides:
        if not (override if isinstance(override, str) else override[0]).startswith("decoding."):
            raise UserError(f"--set {override}: the run is trained; only decoding.* can be changed")
    values = settings.apply({"decoding": as_dict(experiment)["decoding"]}, overrides)
    decoding = settings.build(Decoding, values["decoding"], "--set", prefix="decoding.")
    return dataclasses.replace(experiment, decoding=decoding)


def to_yaml(experiment):
    """The experiment as YAML text that `load` reads back to an equal one."""
    return yaml.safe_dump(as_dict(experiment), sort_keys=False)


def default_config(model):
    """The file that `--model` stands for when no `--config` is given."""
    return CONFIGS / f"scenes_{model}.yaml"
