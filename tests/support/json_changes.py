"""Values of JSON to try: any at all, and sound ones with a change at one place."""

import copy

from hypothesis import strategies as st

_NUMBERS = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
_PLAIN = st.none() | st.booleans() | _NUMBERS | st.sampled_from([0, -1, 1, 2, 1.0, "", "../x", "."])
_KEYS = st.sampled_from(["", "train", "name", "format", "0", "\0"])


def junk():
    """Any value of JSON."""
    return st.recursive(
        _PLAIN | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3),
        max_leaves=5,
    )


def changed_places(value):
    """A value in which one place has another value, or is gone."""
    places = list(_places(value))

    def change(drawn):
        place, new, gone = drawn
        changed = copy.deepcopy(value)
        holder = changed
        for key in place[:-1]:
            holder = holder[key]
        if gone:
            del holder[place[-1]]
        else:
            holder[place[-1]] = new
        return changed

    return st.tuples(st.sampled_from(places), junk(), st.booleans()).map(change)


def _places(value, path=()):
    """The path of each element of nested lists and dictionaries."""
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    else:
        return
    for key, element in items:
        yield (*path, key)
        yield from _places(element, (*path, key))
