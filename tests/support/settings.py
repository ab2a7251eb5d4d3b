"""The settings of small data sets and models."""

from keras_sat import config

SMALL_MODEL = ["model.embedding_size=12", "model.state_size=16", "model.attention_size=8"]


def small_prepare(**changes):
    """Settings that prepare a few scenes with an untrained CNN.

    Pictures, captions and features are real, but a model learns little from them.
    """
    values = {
        "source": "train=40,val=8,test=8",
        "encoder": {"weights": "none"},
        "min_count": 1,
        "chunk_images": 8,
    }
    return config.from_values({"prepare": {**values, **changes}}).prepare
