"""Makes a case on which two deciders disagree as small as it gets in a minute."""

import copy
import time

SECONDS = 60


def places(tree, at=()):
    """The ways to everything that may be left out, the largest parts first."""
    inside = list(tree.items()) if isinstance(tree, dict) else list(enumerate(tree)) if isinstance(tree, list) else []
    for key, _ in reversed(inside):
        yield (*at, key)
    for key, part in inside:
        yield from places(part, (*at, key))


def without(tree, way):
    smaller = copy.deepcopy(tree)
    part = smaller
    for key in way[:-1]:
        part = part[key]
    del part[way[-1]]
    return smaller


def shrunk(case, disagrees):
    """`disagrees` says whether a smaller case is still one; what it raises counts as no."""
    end, again = time.monotonic() + SECONDS, True
    while again and time.monotonic() < end:
        again = False
        for way in list(places(case)):
            if time.monotonic() > end:
                break
            try:
                smaller = without(case, way)
                if disagrees(smaller):
                    case, again = smaller, True
            except Exception:  # no bundle any more, or one that the program refuses
                pass
    return case
