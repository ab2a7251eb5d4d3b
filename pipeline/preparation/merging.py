"""Merging what several places of a corpus say of one image."""

from pipeline.sources.base import CAPTION, NOTHING, PICTURE, SPLITS, UNSPLIT, Item

TWO_SPLITS = "same id in two splits"
NO_CAPTION = "no caption"
REPEATED = "repeated caption"


def merge(parts, published=True):
    """Merges what several places of a corpus say of one image.

    No caption is lost: each is in the merged item, or in one with a fault.

    Args:
        parts: `Item`s of one id.
        published: see `pipeline.sources.base.Corpus`.

    Yields:
        The merged `Item`, and `Item`s with a fault for what is left out of it.
    """
    good = []
    faulty = []  # places whose fault leaves out the whole picture
    is_of_picture = False
    for part in sorted(parts, key=_merge_order):
        is_of_picture |= part.is_of_picture
        if not part.fault:
            good.append(part)
        elif part.left_out == PICTURE:
            faulty.append(part)
        else:
            yield part
    if good:
        for part in faulty:
            yield Item(part.id, part.split, fault=part.fault, left_out=NOTHING)
        yield from _merge_good(good, published)
    elif faulty:
        yield faulty[0]
    elif is_of_picture:
        fault = f"{NO_CAPTION}: none of its lines can be used"
        yield Item(part.id, UNSPLIT, fault=fault)


def _merge_good(good, published):
    id = good[0].id
    found = {part.split for part in good}
    splits = [split for split in SPLITS if split in found]
    paths = sorted({part.path for part in good if part.path})
    if splits:
        split = splits[-1]
    else:
        split = max([part.otherwise for part in good if part.otherwise], default=UNSPLIT)
    captions = {}
    for part in good:
        if not part.captions:
            continue
        # Two people may well write the same. Without numbers it is a line that was copied.
        key = (part.order, part.captions) if published else part.captions
        if key in captions:
            fault = f"{REPEATED}: the same text once more"
            yield Item(id, split, captions=part.captions, fault=fault, left_out=CAPTION)
        else:
            captions[key] = part.captions
    captions = sum(captions.values(), ())
    if len(paths) > 1:
        yield Item(id, split, captions=captions, fault=f"duplicate id: {', '.join(paths)}")
        return
    for other in splits[:-1]:
        yield Item(id, other, fault=f"{TWO_SPLITS}: kept in {split} only", left_out=NOTHING)
    yield Item(id, split, "".join(paths), captions)


def _merge_order(item):
    return item.order, item.split, item.path, item.captions, item.fault
