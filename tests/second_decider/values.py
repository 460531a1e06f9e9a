"""Values of the condition language, as docs/reference/conditions.md describes them.

Bools, ints, doubles, strings, lists and maps are Python's own. The rest has a class here. A thing that has no
answer is the exception `NoAnswer`.
"""

import struct

SECOND = 1_000_000_000
INT_MIN, INT_MAX = -(2**63), 2**63 - 1


class NoAnswer(Exception):
    """What is missing, overflows, divides an int by zero, or lies outside a list."""


class Written(float):
    """A number that stands in the condition itself."""


class Single(float):
    """What a `float` feature of single precision reads as."""


class Uint(int):
    """An unsigned number."""


class Enum:
    """A value of a vocabulary. It is compared with texts, and ordered by its place in the vocabulary."""

    def __init__(self, name, vocabulary):
        self.name, self.vocabulary = name, vocabulary


class Words:
    """What a `set` feature holds."""

    def __init__(self, words, vocabulary):
        self.words, self.vocabulary = words, vocabulary


class Time:
    """Nanoseconds since 1970."""

    def __init__(self, ns):
        self.ns = ns


class Span:
    """A duration, in nanoseconds."""

    def __init__(self, ns):
        self.ns = ns


def single(number):
    """What single precision makes of a number: the shortest decimal that rounds to the same bits."""
    kept = bits(number)
    return next(short for short in (float(f"{kept:.{digits}g}") for digits in range(1, 10)) if bits(short) == kept)


def bits(number):
    """The nearest number of single precision."""
    return struct.unpack("<f", struct.pack("<f", number))[0]


def whole(number):
    """An int that fits 64 bits."""
    if not INT_MIN <= number <= INT_MAX:
        raise NoAnswer("an int overflows")
    return number


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def same_precision(a, b):
    """A written number meets a single-precision one: it is rounded to single precision first."""
    if isinstance(a, Single) and isinstance(b, (Written, WrittenInt)):
        return float(a), single(b)
    if isinstance(b, Single) and isinstance(a, (Written, WrittenInt)):
        return single(a), float(b)
    return a, b


class WrittenInt(int):
    """A whole number that stands in the condition itself."""


def equal(a, b):
    """`==`. Both sides have comparable types, because the program checks types before."""
    if isinstance(a, Enum):
        a = a.name
    if isinstance(b, Enum):
        b = b.name
    if is_number(a) and is_number(b):
        a, b = same_precision(a, b)
        return a == b
    if isinstance(a, (Time, Span)) and type(a) is type(b):
        return a.ns == b.ns
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    return type(a) is type(b) and a == b


def less(a, b):
    """`<`, for all types that have an order."""
    if isinstance(a, Enum) or isinstance(b, Enum):
        vocabulary = a.vocabulary if isinstance(a, Enum) else b.vocabulary
        names = [x.name if isinstance(x, Enum) else x for x in (a, b)]
        return vocabulary.index(names[0]) < vocabulary.index(names[1])
    if is_number(a):
        a, b = same_precision(a, b)
        return a < b
    if isinstance(a, (Time, Span)):
        return a.ns < b.ns
    return a < b
