"""Makes a case on which two deciders disagree as small as it gets in a minute."""

import copy
import time

SECONDS = 60


class Shrinking:
    def __init__(self, case, disagrees):
        """`disagrees` says whether a smaller case is still one; what it raises counts as no."""
        self.case, self.disagrees, self.end = case, disagrees, time.monotonic() + SECONDS

    def part(self, case, at):
        for key in at:
            case = case[key]
        return case

    def keys(self, at):
        part = self.part(self.case, at)
        return list(part) if isinstance(part, dict) else list(range(len(part))) if isinstance(part, list) else []

    def leave_out(self, at, keys):
        smaller = copy.deepcopy(self.case)
        for key in reversed(keys):
            del self.part(smaller, at)[key]
        try:
            right = self.disagrees(smaller)
        except Exception:  # the program refuses what is left
            right = False
        if right:
            self.case = smaller
        return right

    def shrink(self, at=()):
        """Leaves out runs of entries, the longest first; then goes into what is left."""
        length = len(self.keys(at))
        while length >= 1:
            start = 0
            while keys := self.keys(at)[start: start + length]:
                if time.monotonic() > self.end:
                    return
                if not self.leave_out(at, keys):
                    start += length
            length //= 2
        for key in reversed(self.keys(at)):
            self.shrink((*at, key))


def shrunk(case, disagrees):
    work = Shrinking(case, disagrees)
    work.shrink()
    return work.case
