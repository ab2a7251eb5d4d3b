"""BatchingParameters in TensorFlow Serving's text format."""

import pytest

from serving.server.batching import BatchingParameters


def test_parameters():
    batching = BatchingParameters(
        """max_batch_size { value: 8 } batch_timeout_micros { value: 0 }
        max_enqueued_batches { value: 3 } num_batch_threads { value: 2 } allowed_batch_sizes: 4
        allowed_batch_sizes: 8"""
    )
    assert batching.allowed_sizes == [4, 8]
    assert batching.largest_request == 24
    assert batching.max_in_flight == 40
    assert BatchingParameters("max_batch_size { value: 3 }").allowed_sizes == [1, 2, 3]


@pytest.mark.parametrize(
    "text, part",
    [
        ("max_batch_size: 8", "max_batch_size"),
        ("batch_size { value: 8 }", "batch_size"),
        ("max_batch_size { value: 0 }", "1 or more"),
        ("batch_timeout_micros { value: -1 }", "timeout"),
        ("max_batch_size { value: 8 } allowed_batch_sizes: [2, 4]", "end with max_batch_size, 8"),
        (
            "max_batch_size { value: 8 } allowed_batch_sizes: [2, 8, 16]",
            "end with max_batch_size, 8",
        ),
        ("max_batch_size { value: 8 } allowed_batch_sizes: [4, 2, 8]", "increase"),
        ("max_batch_size { value: 8 } allowed_batch_sizes: [0, 8]", "increase"),
    ],
)
def test_mistakes_name_the_file(text, part):
    with pytest.raises(ValueError, match=part) as error:
        BatchingParameters(text, "some/file")
    assert str(error.value).startswith("some/file: ")
