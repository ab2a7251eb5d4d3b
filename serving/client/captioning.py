"""Captions the pictures that the command names, one request after the other."""

from typing import NamedTuple

import grpc

from serving.client.answers import AttentionAnswer, CaptionAnswer
from serving.client.client import CaptionClient
from serving.client.pictures import read_picture


class Result(NamedTuple):
    """What came of one picture.

    Args:
        name: the picture's, as the user gave it or as a folder lists it.
        image: the picture's bytes, or None if it could not be read.
        answer: the server's, or None if the picture could not be read.
        problem: one line that says why there is no caption, empty if there is one.
    """

    name: str
    image: bytes | None
    answer: CaptionAnswer | AttentionAnswer | None
    problem: str


def caption_pictures(names, boxes, server_options, batch, megabytes, attention):
    """Asks for the captions of pictures.

    Args:
        names: of the pictures, as for `read_picture`.
        boxes: {name: float32 [m, 4]}, or None for a captioner that takes none.
        server_options: arguments of `CaptionClient` that name the server, {name: value}.
        batch: images per request.
        megabytes: the largest size of an image, and of a request.
        attention: whether to ask for the attention as well.

    Yields:
        A `Result` for each picture, as the answers arrive.

    Raises:
        ValueError: the server does not answer; it names the server and says why.
    """
    with CaptionClient(**server_options, batch=batch, megabytes=megabytes) as client:
        ask = client.attend if attention else client.caption
        for first in range(0, len(names), batch):
            read = []
            for name in names[first : first + batch]:
                try:
                    read.append((name, read_picture(name, megabytes << 20)))
                except ValueError as error:
                    yield Result(name, None, None, str(error))
            images = [image for _, image in read]
            chosen_boxes = None if boxes is None else [boxes[name] for name, _ in read]
            try:
                answers = ask(images, chosen_boxes)
            except grpc.RpcError as error:
                address = server_options["server"]
                raise ValueError(f"{address}: {error.code().name}: {error.details()}") from error
            for (name, image), answer in zip(read, answers):
                problem = "" if answer.status == "OK" else f"{name}: {answer.status}"
                yield Result(name, image, answer, problem)
