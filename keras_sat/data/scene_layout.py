"""Where the objects of a scene lie: places that do not touch, and the relations between them.

Boxes are (ymin, xmin, ymax, xmax), as fractions of the picture's side.
"""

from keras_sat.data.scene_drawing import SIZE

_MARGIN = 4  # pixels left free around every object


def arrange(rng, sizes):
    """Draws places for objects so that no two of them touch.

    The first two objects are clearly in relation, and so are the third and one of these two.

    Args:
        rng: a `random.Random`.
        sizes: (width, height) of each object, in pixels.
    Returns:
        The top left corner (x, y) of each object, in pixels.
    """
    corners = []
    boxes = []
    while len(corners) < len(sizes):
        size = sizes[len(corners)]
        corner = tuple(rng.randint(_MARGIN, SIZE - _MARGIN - side) for side in size)
        box = to_box(corner, size)
        if _is_related(box, boxes) and not _touches(box, boxes):
            corners.append(corner)
            boxes.append(box)
        elif rng.random() < 0.02:  # there may be no room left: start again
            corners = []
            boxes = []
    return corners


def _is_related(box, boxes):
    """Whether the next object may lie here: only the second and the third need a relation."""
    if len(boxes) not in (1, 2):
        return True
    return any(relation(box, main) for main in boxes[:2])


def _touches(box, boxes):
    return any(max(_gaps(box, other)) < 0 for other in boxes)


def to_box(corner, size):
    """The box of an object, from its top left corner (x, y) and (width, height) in pixels."""
    left, top = corner
    width, height = size
    return top / SIZE, left / SIZE, (top + height) / SIZE, (left + width) / SIZE


def _gaps(a, b):
    """The free space between two boxes along y and x, less the margin; negative if they overlap."""
    gaps = []
    for low, high in ((0, 2), (1, 3)):
        gaps.append(max(a[low], b[low]) - min(a[high], b[high]) - _MARGIN / SIZE)
    return gaps


def relation(a, b):
    """Where box `a` lies as seen from box `b`.

    Returns:
        "left", "right", "above" or "below"; None where it is debatable.
    """
    dy = a[0] + a[2] - b[0] - b[2]  # twice the distance of the centres
    dx = a[1] + a[3] - b[1] - b[3]
    gap_y, gap_x = _gaps(a, b)
    if gap_x >= 0 and abs(dx) >= 2 * abs(dy):
        return "left" if dx < 0 else "right"
    if gap_y >= 0 and abs(dy) >= 2 * abs(dx):
        return "above" if dy < 0 else "below"
    return None
