"""Captioning pictures and drawing where the captioner looked, as several commands do."""

from keras_sat.data.reading import read_records
from keras_sat.pictures.results import Result
from keras_sat.runs.captioning import caption_files
from keras_sat.utils.errors import UserError
from keras_sat.utils.progress import progress_bar
from keras_sat.visualize.attention import save_overlay


def caption_results(captioner, names, overlays):
    """Captions pictures, and draws where the captioner looked.

    Args:
        captioner: a `keras_sat.api.captioner.PictureCaptioner`.
        names: see `keras_sat.pictures.reading.list_pictures`.
        overlays: {name: the file to draw to}; empty for no drawings. The attention is told in JSON
            where it is drawn.

    Yields:
        A `Result` for each picture.
    """
    bar = {"total": len(names), "desc": "captioning", "unit": " pictures", "leave": False}
    outcomes = progress_bar(captioner.stream(names), **bar, disable=len(names) == 1)
    for name, outcome in zip(names, outcomes):
        if isinstance(outcome, UserError):
            yield Result(name, problem=str(outcome))
            continue
        fields = outcome.fields(attention=bool(overlays))
        if overlays:
            outcome.save(overlays[name])
            fields["overlay"] = str(overlays[name])
        yield Result(name, outcome.caption, fields=fields)


def draw_test_pictures(run, folder, count):
    """Captions pictures of the test split from image files and draws the attention.

    The pictures are written to files first, and then captioned as a user's files are.

    Args:
        run: a `Run`.
        folder: for the pictures and their overlays, a Path.
        count: how many pictures.

    Returns:
        The paths of the overlays.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for record in read_records(run.data(), "test", count):
        path = folder / f"{record.source_id}.png"
        path.write_bytes(record.encoded)
        paths.append(path)
    captioned, _ = caption_files(run, paths, explain=True)
    overlays = []
    for file in captioned:
        overlay = file.path.with_stem(file.path.stem + "-attention")
        save_overlay(overlay, file.picture, file.captioned, file.facts)
        overlays.append(overlay)
    return overlays
