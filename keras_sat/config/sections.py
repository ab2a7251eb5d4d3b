"""The sections of an experiment, apart from `model` (see `keras_sat.config.systems`)."""

import dataclasses
from dataclasses import dataclass, field
from typing import Literal

from keras_sat.config.ranges import (
    Fraction,
    FractionAboveZero,
    FractionBelowOne,
    PositiveFloat,
    PositiveInt,
)
from keras_sat.utils.errors import UserError


@dataclass(frozen=True)
class Encoder:
    """The CNN that turns an image into annotations.

    Attributes:
        name: `scenes_cnn`; any constructor of keras.applications (`Xception`, `VGG19`, …), where
            case and `_` do not matter; a Vision Transformer, `hf:DIR` or `hf:OWNER/NAME`, see
            `keras_sat.encoder.hugging_face`; or a saved Keras model, `keras:FILE`.
        layer: the layer whose output is the feature map. By default the network's last one.
        weights: `imagenet` (for `scenes_cnn`: its own pretraining, which takes a minute), `none`,
            or a weights file.
        image_size: height and width of the CNN's input in pixels. By default 224, for `scenes_cnn`
            128.
        resize: `squash` to image_size × image_size, or `crop` the centre of the picture after its
            shorter side was resized to image_size · 256/224 (as for VGG).
        quantisation: the type in which features are stored, `uint8` or `float16`.
        scale: the range of values that the model of `keras:FILE` takes. Other encoders know theirs.
    """

    name: str = "scenes_cnn"
    layer: str | None = None
    weights: str = "imagenet"
    image_size: PositiveInt | None = None
    resize: Literal["squash", "crop"] = "squash"
    quantisation: Literal["uint8", "float16"] = "uint8"
    scale: Literal["0..255", "0..1", "-1..1"] | None = None

    @property
    def pixels(self):
        """Height and width of the CNN's input."""
        default = 128 if self.key == "scenescnn" else 224
        return self.image_size or default

    @property
    def key(self):
        """The name by which CNNs are looked up."""
        return self.name.lower().replace("_", "")


@dataclass(frozen=True)
class Shares:
    """The splits of a corpus that has none of its own: by a hash of the image's id.

    Images that fall into neither `val` nor `test` are training images.

    Attributes:
        val: the fraction of the images in the validation split.
        test: the fraction of the images in the test split.
    """

    val: float = 0.1
    test: float = 0.1


@dataclass(frozen=True)
class Proposals:
    """Object proposals: boxes that may hold an object.

    A model can attend to them instead of to the cells of the feature map.

    Attributes:
        method: `edgeboxes`, `selective_search`, `file` (boxes are read from `file`) or `none`.
        most: the number of boxes to keep per image, in the order of objectness.
        file: the file with the boxes, in the format that
            `keras_sat.pictures.proposals.read_boxes_file` describes.
        image_size: height and width in pixels of a larger picture. Boxes are sought on it and
            pooled from its feature map, which is stored beside the encoder's own. By default there
            is no such picture.
    """

    method: Literal["none", "edgeboxes", "selective_search", "file"] = "none"
    most: PositiveInt = 200
    file: str | None = None
    image_size: PositiveInt | None = None


Dataset = Literal[
    "scenes",
    "auto",
    "flickr8k",
    "flickr30k",
    "karpathy",
    "kaggle",
    "coco",
    "json",
    "imagefolder",
    "folder",
    "webdataset",
    "parquet",
    "sidecars",
    "tfds",
    "hf",
]


@dataclass(frozen=True)
class Prepare:
    """What `keras-sat prepare` builds: a corpus, its vocabulary and its features.

    Attributes:
        dataset: the kind of corpus; `auto` finds it by looking at the source.
        source: the folder of the corpus. For `scenes`, the number of pictures to draw per split.
        images: a second folder in which the pictures are looked for.
        allow_outside: whether the corpus may name files outside of these two folders.
        image_column: the column or key that holds the picture, where its name is unusual.
        caption_column: the column or key that holds the caption, where its name is unusual.
        encoder: the CNN that computes the features.
        proposals: the object proposals to store.
        keep_pictures: whether records keep the encoded picture. Fine-tuning the CNN and
            `decoding.mirror` need it.
        picture_size: the length in pixels to which the shorter side of a larger picture is reduced
            (stored as a JPEG of quality 95). By default pictures keep their size.
        mirror: whether to store the feature map of each training picture's horizontal flip too,
            for `data.mirror`.
        crops: the number of random crops of each training picture whose feature maps are stored
            too, for `data.crops`. Every second crop is flipped horizontally.
        min_count: how often a word must occur in the training captions to enter the vocabulary; 0:
            the size of the corpus decides, see `keras_sat.text.vocabulary.min_count_for`.
        max_size: the greatest number of words in the vocabulary, the special ones included.
        chunk_images: the approximate number of images per chunk of work.
        shard_megabytes: the approximate size of a shard of the data set.
        shares: the fractions of the splits, for a corpus that names none.
        max_pixels: pictures with more pixels are refused.
        max_megabytes: pictures with larger files are refused.
        max_words: captions with more words are left out.
        max_failures: the greatest fraction of unusable pictures, and of unusable captions; above it
            the job stops.
        schema: a reviewed schema, as a YAML file; anomalies against it stop the job. By default
            the schema is inferred, and forbids leaks between splits and missing pictures.
        allow_anomalies: whether the job continues in spite of anomalies.
        seed: the seed of all that is drawn at random.
    """

    # The keys that decide whether the job continues, but do not change what it makes.
    CHECKS = ("max_failures", "schema", "allow_anomalies")

    dataset: Dataset = "scenes"
    source: str = "train=3000,val=300,test=300"
    images: str | None = None
    allow_outside: bool = False
    image_column: str | None = None
    caption_column: str | None = None
    encoder: Encoder = field(default_factory=Encoder)
    proposals: Proposals = field(default_factory=Proposals)
    keep_pictures: bool = True
    picture_size: PositiveInt | None = None
    mirror: bool = False
    crops: int = 0
    min_count: int = 5
    max_size: PositiveInt = 10_000
    chunk_images: PositiveInt = 64
    shard_megabytes: PositiveInt = 128
    shares: Shares = field(default_factory=Shares)
    max_pixels: PositiveInt = 50_000_000
    max_megabytes: PositiveInt = 256
    max_words: int = 100
    max_failures: float = 0.05
    schema: str | None = None
    allow_anomalies: bool = False
    seed: int = 1


@dataclass(frozen=True)
class Data:
    """The prepared data set, and how batches are made of it.

    Attributes:
        path: the folder of the prepared data set.
        batching: `captions` makes one row per caption, bucketed by length (N = 1); `images` makes
            one row per image and keeps its captions together (N = captions per image).
        batch_size: the number of captions per batch, over all devices.
        bucket_width: the range of lengths, in words, that share a bucket.
        max_length: the greatest number of words per caption, END included; the rest is cut off.
        shuffle_images: the size of the window within which images are shuffled.
        shuffle_captions: the size of the window within which captions are shuffled.
        shuffle_batches: the size of the window within which batches are shuffled.
        mirror: whether training sees each image either as it is or flipped horizontally, drawn anew
            in each epoch. `left` and `right` are swapped in the captions of flipped images.
        crops: whether training sees one of all stored views of an image, the random crops included.
            Needs `mirror`.
        sharding: how several workers divide the data. `rows`: each worker reads all files and keeps
            its rows of every batch, so that a run does not depend on the number of workers.
            `files`: each worker reads files of its own, and its rows of every batch come from them.
    """

    path: str = "data/scenes"
    batching: Literal["captions", "images"] = "captions"
    batch_size: PositiveInt = 64
    bucket_width: PositiveInt = 2
    max_length: PositiveInt = 40
    shuffle_images: PositiveInt = 2_000
    shuffle_captions: PositiveInt = 8_000
    shuffle_batches: PositiveInt = 64
    mirror: bool = False
    crops: bool = False
    sharding: Literal["rows", "files"] = "rows"

    def stored_views(self, inputs):
        """The names of the stored feature maps of other views of an image that training reads.

        Args:
            inputs: the names of what the captioner reads of an image.

        Raises:
            UserError: other views of these inputs are not stored.
        """
        if self.mirror:
            _check_mirror("data.mirror", inputs)
        if self.crops and set(inputs) != {"features"}:
            raise UserError(
                "data.crops: crops are stored as the CNN's feature maps alone, and the captioner "
                f"or a teacher reads {', '.join(inputs)}; leave it out"
            )
        names = []
        if "features" in inputs:
            if self.mirror:
                names.append("mirrored_features")
            if self.crops:
                names.append("cropped_features")
        return names


def _check_mirror(setting, inputs):
    """Raises a `UserError` where horizontal flips of the inputs are not stored."""
    if "region_features" in inputs:
        raise UserError(
            f"{setting}: feature maps of larger pictures are not stored mirrored; leave it out, "
            "or use a data set prepared without proposals.image_size"
        )


@dataclass(frozen=True)
class FineTuning:
    """Training of the CNN, which is then part of the model and reads pictures, not stored features.

    Attributes:
        from_layer: the first layer of the CNN, in Keras' order, that is trained. By default the
            CNN is not trained.
        rate: the CNN's learning rate, as a factor on train.learning_rate.
        batch_norm: `frozen` keeps the pretrained statistics and scales; `trained` learns them.
    """

    from_layer: str | None = None
    rate: float = 0.1
    batch_norm: Literal["frozen", "trained"] = "frozen"


@dataclass(frozen=True)
class Training:
    """Optimisation. An epoch is a pass over the training captions; a step is one update.

    Attributes:
        objective: `likelihood` of the training captions, or `cider`, the CIDEr-D of captions that
            the model samples. The latter starts from a captioner that was trained by likelihood
            (`init_from`), and has no label smoothing, no dropout apart from that of features, no
            penalty and no sampled locations (`keras_sat.training.objectives.SelfCritical`).
        samples: the number of captions sampled per image for the objective `cider`.
        teachers: trained runs on the same data set, whose mean distribution over each word becomes
            part of the target (`keras_sat.training.objectives.Distillation`).
        distillation: the teachers' share of the target.
        epochs: the number of epochs.
        optimizer: the optimizer.
        learning_rate: the learning rate after the warm-up.
        schedule: `constant`; `cosine`, to zero at the last epoch; `step`, × decay_rate in each
            epoch from decay_from on; `plateau`, × decay_rate after each epoch from decay_from on
            that did not improve `select_by`; `noam`, × √(warmup_steps / step) after the warm-up
            (Vaswani et al. 2017).
        warmup_steps: the number of steps of a linear warm-up before the schedule; 0 = none. Cannot
            be combined with `plateau`.
        decay_from: the first epoch, counted from 1, in which the learning rate may decay.
        decay_rate: the factor of the schedules `step` and `plateau`.
        average: the decay of a moving average of the weights; 0 = none. The average is what is
            validated and kept as the best checkpoint; training continues with the weights
            themselves. After n updates the decay is at most (1 + n) / (10 + n), so 0.998, an
            average of about 500 updates, is reached after 4,500.
        weight_decay: the factor of ½|θ|² in the loss.
        clip_norm: the global norm to which gradients are clipped; 0 = no clipping.
        label_smoothing: the share of the target that is spread evenly over all words that can be
            predicted.
        accumulate: the number of parts in which a batch is processed before its one update. Memory
            falls by this factor. Batch size and learning rate keep their meaning, except that a
            trained BatchNorm sees smaller batches.
        precision: `float32`, or Keras' mixed precision.
        select_by: what decides on the best checkpoint, `plateau` and early stopping: a score of
            generated captions on the validation split, or `loss`, the validation negative log
            likelihood.
        patience: the number of epochs without improvement after which training stops; 0 = never.
        validation_images: the number of images captioned after each epoch; 0 = all.
        pictures: how many of these images TensorBoard shows.
        max_minutes: the time after which training stops; 0 = never.
        checkpoint_minutes: the time between checkpoints, and so the most that a killed run loses.
        deterministic: whether a resumed run is bit-for-bit identical to an uninterrupted one.
    """

    objective: Literal["likelihood", "cider"] = "likelihood"
    samples: PositiveInt = 5
    teachers: tuple[str, ...] = ()
    distillation: Fraction = 0.5
    epochs: PositiveInt = 20
    optimizer: Literal["adam", "rmsprop", "sgd"] = "adam"
    learning_rate: float = 4e-4
    schedule: Literal["constant", "cosine", "step", "plateau", "noam"] = "constant"
    warmup_steps: int = 0
    decay_from: int = 1
    decay_rate: float = 0.5
    average: FractionBelowOne = 0.0
    weight_decay: float = 0.0
    clip_norm: float = 5.0
    label_smoothing: FractionBelowOne = 0.0
    accumulate: PositiveInt = 1
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
    """How captions are generated: in evaluation, in `keras-sat caption` and in the exported model.

    Attributes:
        method: `beam` search; `sample`, words are drawn from their distribution; or `consensus`,
            beam search whose best hypothesis is the one that shares most n-grams with samples.
        beam: K, the number of hypotheses per image. A beam of 1 is greedy decoding. For `sample`,
            the number of samples, of which the likeliest comes first.
        length_penalty: α. Finished captions are ranked by log p / length^α, so 0 prefers short
            ones.
        max_length: the greatest number of words per caption, END included.
        min_length: the least number of words per caption, without END.
        no_repeat_ngram: n. No n-gram occurs twice in a caption; 0 = any may.
        samples: the number of samples for `consensus`.
        likelihood_weight: for `consensus`, the weight of log p / length^α beside the fraction of
            shared n-grams, which is between 0 and 1. 0.1 suits an α of 0.7; for an α of 0 it is
            large.
        unknown: whether the unknown word may be generated.
        mirror: whether the horizontal flip is captioned together with the image. At every step the
            mean of both distributions over the next word decides, with `left` and `right` swapped
            for the flip. The CNN runs on both, in evaluation too.
        temperature: of samples. Below 1, likely words become likelier.
        top_k: samples are drawn from the k likeliest words; 0 = from all.
        top_p: samples are drawn from the fewest words that hold this share of the probability.
        seed: of samples, which depend on it and on the image alone.
    """

    method: Literal["beam", "sample", "consensus"] = "beam"
    beam: PositiveInt = 3
    length_penalty: float = 0.0
    max_length: PositiveInt = 25
    min_length: PositiveInt = 1
    no_repeat_ngram: int = 0
    samples: PositiveInt = 25
    likelihood_weight: float = 0.1
    unknown: bool = False
    mirror: bool = False
    temperature: PositiveFloat = 1.0
    top_k: int = 0
    top_p: FractionAboveZero = 1.0
    seed: int = 1

    def extra_inputs(self, inputs):
        """The names of what captioning reads of an image beside the model's own inputs.

        Args:
            inputs: the names of the model's inputs.

        Raises:
            UserError: the inputs cannot be flipped horizontally, as `mirror` asks.
        """
        if not self.mirror:
            return []
        _check_mirror("decoding.mirror", inputs)
        return ["pixels"]

    def greedy(self):
        """These settings with greedy decoding, for the quick validation during training."""
        return dataclasses.replace(self, method="beam", beam=1)


@dataclass(frozen=True)
class Scores:
    """Scores that a model must reach, by the names of `keras_sat.evaluation.scorers`.

    All are fractions of 1 except CIDEr-D. A score that is null is not required.

    Attributes:
        bleu1: BLEU-1.
        bleu2: BLEU-2.
        bleu3: BLEU-3.
        bleu4: BLEU-4.
        meteor: METEOR.
        rouge: ROUGE-L.
        cider: CIDEr-D, which is out of 10.
        spice: SPICE.
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
    """When a trained model may be served, and where it is pushed to; see `keras-sat run`.

    Attributes:
        folder: the folder of the served model, such as serving/models/NAME. Each push adds a
            version. By default nothing is pushed.
        at_least: the scores that decide, and the least value of each.
        must_not_lose: how far these scores may fall below the last version's. With null they are
            not compared.
        max_batch_size: the number of images that the exported model captions together, see
            `keras-sat export`.
        pictures: the number of pictures that the exported model captions as a trial, run as a
            server would run it.
        max_minutes: the time allowed for the server to start, and again for it to answer.
    """

    folder: str | None = None
    at_least: Scores = field(default_factory=Scores)
    must_not_lose: float | None = 0.01
    max_batch_size: PositiveInt = 64
    pictures: PositiveInt = 8
    max_minutes: PositiveFloat = 10.0
