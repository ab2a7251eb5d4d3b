"""Captions the pictures that the command names, one request after the other."""

import grpc

from keras_sat.pictures.reading import read_picture, unreadable
from keras_sat.pictures.results import Result
from keras_sat.utils.errors import UserError
from serving.client.answers import fields
from serving.client.client import CaptionClient
from serving.client.connection import described


def caption_pictures(names, boxes, server_options, batch, megabytes, draw=None):
    """Asks for the captions of pictures.

    Args:
        names: of the pictures, as for `read_picture`.
        boxes: {name: float32 [m, 4]}, or None for a captioner that takes none.
        server_options: arguments of `CaptionClient` that name the server, {name: value}.
        batch: images per request.
        megabytes: the largest size of an image, and of a request.
        draw: a function of `serving.client.overlay.drawing`, for which the attention is asked for
            as well; None draws nothing.

    Yields:
        A `Result` for each picture, as the answers arrive; first those of files that do not exist.

    Raises:
        ValueError: the server does not answer; it names the server and says why.
    """
    faults = unreadable(names)
    for name, fault in faults.items():
        yield Result(name, problem=str(fault))
    names = [name for name in names if name not in faults]
    with CaptionClient(**server_options, batch=batch, megabytes=megabytes) as client:
        ask = client.attend if draw else client.caption
        for first in range(0, len(names), batch):
            read = []
            for name in names[first : first + batch]:
                try:
                    read.append((name, read_picture(name, megabytes << 20)))
                except UserError as error:
                    yield Result(name, problem=str(error))
            images = [image for _, image in read]
            chosen_boxes = None if boxes is None else [boxes[name] for name, _ in read]
            try:
                answers = ask(images, chosen_boxes)
            except grpc.RpcError as error:
                address = described(server_options)
                raise ValueError(f"{address}: {error.code().name}: {error.details()}") from error
            for (name, image), answer in zip(read, answers):
                if answer.status != "OK":
                    yield Result(name, problem=f"{name}: {answer.status}")
                    continue
                if draw:
                    draw(name, image, answer)
                yield Result(name, answer.caption, fields=fields(answer))
