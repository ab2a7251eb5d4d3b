"""Pictures that a command draws of a trained run."""

from keras_sat.data.reading import read_records
from keras_sat.runs.captioning import caption_files
from keras_sat.visualize.attention import save_overlay


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
