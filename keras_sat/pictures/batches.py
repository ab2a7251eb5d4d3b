"""Many pictures, batch by batch, of which some cannot be read."""

import itertools

from keras_sat.utils.errors import UserError

_BATCH = 32


def answers(pictures, read, answer):
    """Reads pictures and answers those of a batch together, as they are asked for.

    Args:
        pictures: an iterable; no more of it than a batch is in memory.
        read: function from a picture and its number, from 1 on, to what `answer` takes of it.
        answer: function from a list of these to a list of answers.

    Yields:
        For each picture its answer, or the `UserError` that reading it raised or that replaces its
        answer.
    """
    numbered = enumerate(pictures, 1)
    while batch := list(itertools.islice(numbered, _BATCH)):
        read_pictures = []
        faults = {}
        for number, picture in batch:
            try:
                read_pictures.append(read(picture, number))
            except UserError as error:
                faults[number] = error
        answered = iter(answer(read_pictures) if read_pictures else ())
        for number, _ in batch:
            yield faults[number] if number in faults else next(answered)
