"""Evaluates the tree of a condition, one node after the other.

`names` is an object with `value(root, name)`: the value of `root.name` (root is None for a bare name), which
raises NoAnswer where nothing is known.
"""

import math
import re

import times
from syntax import parse
from values import (INT_MAX, INT_MIN, SECOND, Enum, NoAnswer, Single, Span, Time, Uint, Words, Written, WrittenInt, equal, less,
                    single, whole)

ROOTS = ("customer", "context", "tag", "param", "offer", "event")


def holds(text, names):
    """Whether a condition holds. No answer counts as no."""
    try:
        return Evaluation(names).run(parse(text)) is True
    except NoAnswer:
        return False


def answer(text, names):
    return Evaluation(names).run(parse(text))


class Evaluation:
    def __init__(self, names, variables=None):
        self.names, self.variables = names, variables or {}

    def inside(self, **variables):
        return Evaluation(self.names, {**self.variables, **variables})

    def run(self, tree):
        kind = tree[0]
        if kind == "value":
            return tree[1]
        if kind == "name" and tree[1] in ("int", "double"):
            return Type(0 if tree[1] == "int" else 0.0)
        if kind == "name":
            return self.variables[tree[1]] if tree[1] in self.variables else self.names.value(None, tree[1])
        return getattr(self, SHAPES.get(kind, "binary"))(tree)

    def field(self, tree):
        _, inner, name = tree
        if inner[0] == "name" and inner[1] in ROOTS and inner[1] not in self.variables:
            return self.names.value(inner[1], name)
        return at(self.run(inner), name)

    def item(self, tree):
        return at(self.run(tree[1]), self.run(tree[2]))

    def both(self, tree):
        return decided([(self, side) for side in tree[1:]], tree[0] == "||")

    def choice(self, tree):
        return self.run(tree[2] if self.run(tree[1]) else tree[3])

    def no(self, tree):
        value, = self.arguments([tree[1]])
        return not value

    def minus(self, tree):
        value, = self.arguments([tree[1]])
        return -float(value) if isinstance(value, float) else whole(-value)

    def list(self, tree):
        return [self.run(item) for item in tree[1]]

    def map(self, tree):
        return {self.run(key): self.run(value) for key, value in tree[1]}

    def binary(self, tree):
        operator, left, right = tree
        if operator in ("==", "!=") and ("value", None) in (left, right):
            known = self.known(right if left == ("value", None) else left)
            return known == (operator == "!=")
        a, b = self.run(left), self.run(right)
        if operator in ("==", "!="):
            return equal(a, b) == (operator == "==")
        if operator == "in" and b is not None:
            return is_in(a, b)
        if a is None or b is None:
            raise NoAnswer("null is compared with == and != only")
        if operator in COMPARED:
            return COMPARED[operator](a, b)
        return arithmetic(operator, a, b)

    def known(self, tree):
        """Whether there is a value. This always has an answer."""
        try:
            return self.run(tree) is not None
        except NoAnswer:
            return False

    def call(self, tree):
        name, arguments = tree[1], tree[2]
        if name == "has":
            return self.known(arguments[0])
        return FUNCTIONS[name](*self.arguments(arguments))

    def method(self, tree):
        _, name, inner, arguments = tree
        if inner == ("name", "cel") and name == "bind":
            return self.inside(**{arguments[0][1]: self.run(arguments[1])}).run(arguments[2])
        if inner in (("name", "math"), ("name", "strings")):
            return FUNCTIONS[f"{inner[1]}.{name}"](*self.arguments(arguments))
        if name in LOOPS:
            return self.loop(name, self.run(inner), arguments)
        return METHODS[name](*self.arguments([inner, *arguments]))

    def arguments(self, trees):
        values = [self.run(tree) for tree in trees]
        if any(value is None for value in values):
            raise NoAnswer("null has no functions")
        return values

    def loop(self, name, over, arguments):
        names = [argument[1] for argument in arguments[: LOOPS[name]]]
        if len(arguments) == 3 and name in ("all", "exists", "exists_one", "existsOne"):
            names.append(arguments[1][1])
        rest, rounds = arguments[len(names):], []
        for variables in bindings(over, len(names)):
            rounds.append(self.inside(**dict(zip(names, variables))))
        if name in ("all", "exists"):
            return decided([(one, rest[0]) for one in rounds], name == "exists")
        if name in ("exists_one", "existsOne"):
            return sum(one.run(rest[0]) for one in rounds) == 1
        if name == "filter":
            return [one.variables[names[0]] for one in rounds if one.run(rest[0])]
        if name in ("map", "transformList"):
            return [one.run(rest[-1]) for one in rounds if len(rest) == 1 or one.run(rest[0])]
        return {one.variables[names[0]]: one.run(rest[-1]) for one in rounds if len(rest) == 1 or one.run(rest[0])}


SHAPES = {"field": "field", "item": "item", "&&": "both", "||": "both", "choice": "choice", "not": "no",
          "minus": "minus", "list": "list", "map": "map", "call": "call", "method": "method"}
LOOPS = {"all": 1, "exists": 1, "exists_one": 1, "existsOne": 1, "filter": 1, "map": 1, "transformList": 2,
         "transformMap": 2}
COMPARED = {"<": less, ">": lambda a, b: less(b, a),
            "<=": lambda a, b: less(a, b) or equal(a, b), ">=": lambda a, b: less(b, a) or equal(a, b)}


def decided(sides, decisive):
    """`&&` and `||` go round a side that has no answer where another one decides; `all` and `exists` do so with items."""
    missing = False
    for evaluator, tree in sides:
        try:
            if evaluator.run(tree) is decisive:
                return decisive
        except NoAnswer:
            missing = True
    if missing:
        raise NoAnswer("none of them decides")
    return not decisive


def bindings(over, count):
    if isinstance(over, Words):
        over = [word for word in over.vocabulary if word in over.words]
    if isinstance(over, dict):
        return list(over.items()) if count == 2 else [(key,) for key in over]
    return list(enumerate(over)) if count == 2 else [(item,) for item in over]


def at(inside, key):
    try:
        if isinstance(inside, list) and key < 0:
            raise NoAnswer("before the list")
        return inside[key]
    except (IndexError, KeyError):
        raise NoAnswer("nothing there") from None


def is_in(item, inside):
    if isinstance(inside, Words):
        return (item.name if isinstance(item, Enum) else item) in inside.words
    return any(equal(item, other) for other in inside)


def arithmetic(operator, a, b):
    if isinstance(a, (Time, Span)):
        return moved(operator, a, b)
    if operator == "+" and isinstance(a, (str, bytes, list)):
        return a + b
    if isinstance(a, float):
        return of_doubles(operator, float(a), float(b))
    if operator in ("/", "%") and b == 0:
        raise NoAnswer("divided by zero")
    if operator == "/":
        number = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
    elif operator == "%":
        number = int(math.copysign(1, a)) * (abs(a) % abs(b))
    else:
        number = {"+": a + b, "-": a - b, "*": a * b}[operator]
    if isinstance(a, Uint):
        if not 0 <= number < 2**64:
            raise NoAnswer("a uint overflows")
        return Uint(number)
    return whole(int(number))


def of_doubles(operator, a, b):
    if operator == "/" and b == 0:
        sign = math.copysign(1, a) * math.copysign(1, b)
        return math.nan if a == 0 or math.isnan(a) else sign * math.inf
    try:
        return {"+": a.__add__, "-": a.__sub__, "*": a.__mul__, "/": a.__truediv__}[operator](b)
    except OverflowError:
        return math.inf


def moved(operator, a, b):
    ns = a.ns + b.ns if operator == "+" else a.ns - b.ns
    if isinstance(a, Time) and isinstance(b, Time):
        return Span(ns)
    return Time(ns) if isinstance(a, Time) or isinstance(b, Time) else Span(ns)


UNITS = {"h": 3600 * SECOND, "m": 60 * SECOND, "s": SECOND, "ms": 10**6, "us": 1000, "ns": 1}


def duration(text):
    from fractions import Fraction
    if not re.fullmatch(r"-?((\d+(\.\d+)?)(h|ms|us|ns|m|s))+", text):
        raise NoAnswer(f"no duration: {text}")
    parts = re.findall(r"(\d+(?:\.\d+)?)(h|ms|us|ns|m|s)", text)
    ns = sum(Fraction(number) * UNITS[unit] for number, unit in parts)
    return Span(int(-ns if text[0] == "-" else ns))


def timestamp(value):
    return Time(value * SECOND if isinstance(value, int) else times.moment(value))


def to_int(value):
    if isinstance(value, Time):
        return value.ns // SECOND
    if isinstance(value, str):
        if not re.fullmatch(r"-?\d+", value):
            raise NoAnswer(f"no int: {value}")
        return whole(int(value))
    if isinstance(value, float) and not INT_MIN < value < INT_MAX:
        raise NoAnswer("no int")
    return whole(int(value))


def rounded(number):
    """Halves are rounded away from zero."""
    return math.floor(abs(number) + 0.5) * (1 if number > 0 else -1) if abs(number) < 2**52 else number


def finite(change):
    """A whole double. What is not finite stays as it is, and so does the sign of zero."""
    return lambda x: math.copysign(float(change(x)), x) if math.isfinite(x) else float(x)


def extreme(better):
    def choose(*numbers):
        numbers = numbers[0] if len(numbers) == 1 and isinstance(numbers[0], list) else numbers
        best = numbers[0]
        for number in numbers[1:]:
            if better(number, best):
                best = number
        return best
    return choose


def sign(number):
    if isinstance(number, float) and math.isnan(number):
        return math.nan
    value = (number > 0) - (number < 0)
    return float(value) if isinstance(number, float) else value


def size(value):
    return len(value.words) if isinstance(value, Words) else len(value)


FUNCTIONS = {
    "size": size,
    "matches": lambda text, pattern: re.search(pattern, text) is not None,
    "timestamp": timestamp,
    "duration": duration,
    "int": to_int,
    "double": float,
    "string": lambda x: str(x).lower() if isinstance(x, bool) else str(x),
    "math.greatest": extreme(lambda a, b: less(b, a)),
    "math.least": extreme(less),
    "math.abs": lambda x: abs(float(x)) if isinstance(x, float) else whole(abs(x)),
    "math.sign": sign,
    "math.ceil": finite(math.ceil),
    "math.floor": finite(math.floor),
    "math.round": finite(rounded),
    "math.trunc": finite(math.trunc),
    "math.isFinite": math.isfinite,
    "math.isInf": math.isinf,
    "math.isNaN": math.isnan,
    "math.bitAnd": lambda a, b: a & b,
    "math.bitOr": lambda a, b: a | b,
    "math.bitXor": lambda a, b: a ^ b,
    "math.bitNot": lambda a: ~a,
    "math.bitShiftLeft": lambda a, places: shifted(a, places, (a << places) if 0 <= places < 64 else 0),
    "math.bitShiftRight": lambda a, places: shifted(a, places, (a % 2**64 >> places) if 0 <= places < 64 else 0),
    "bool": lambda x: x if isinstance(x, bool) else truth(x),
    "uint": lambda x: to_uint(x),
    "type": lambda x: Type(x),
    "dyn": lambda x: x,
}


class Type:
    def __init__(self, value):
        self.of = "int" if isinstance(value, int) else "double" if isinstance(value, float) else type(value).__name__

    def __eq__(self, other):
        return self.of == other.of


def shifted(number, places, bits):
    """64 bits, zeros moving in, as an int."""
    if places < 0:
        raise NoAnswer("a negative shift")
    bits %= 2**64
    return bits - 2**64 if bits >= 2**63 and not isinstance(number, Uint) else bits


def truth(text):
    if text not in ("true", "false", "True", "False", "TRUE", "FALSE", "t", "f", "1", "0"):
        raise NoAnswer(f"no bool: {text}")
    return text[0] in "tT1"


def to_uint(value):
    number = to_int(value)
    if number < 0:
        raise NoAnswer("a negative uint")
    return Uint(number)



def substring(text, start, end=None):
    end = len(text) if end is None else end
    if not 0 <= start <= end <= len(text):
        raise NoAnswer("outside the text")
    return text[start:end]


def char_at(text, place):
    if not 0 <= place <= len(text):
        raise NoAnswer("outside the text")
    return text[place: place + 1]


def ascii_only(change):
    return lambda text: "".join(change(c) if c.isascii() else c for c in text)


def part_of(name, unit):
    """A getter of times, and of durations in whole units."""
    def get(value, where="UTC"):
        if isinstance(value, Span):
            ns = abs(value.ns) // unit
            return (-ns if value.ns < 0 else ns) % 1000 if name == "ms" else (-ns if value.ns < 0 else ns)
        return value.ns // 10**6 % 1000 if name == "ms" else getattr(times.local(value.ns, where), name)
    return get


def of_date(take):
    return lambda value, where="UTC": take(times.local(value.ns, where))


METHODS = {
    "contains": lambda text, part: part in text,
    "startsWith": lambda text, part: text.startswith(part),
    "endsWith": lambda text, part: text.endswith(part),
    "matches": FUNCTIONS["matches"],
    "lowerAscii": ascii_only(str.lower),
    "upperAscii": ascii_only(str.upper),
    "trim": str.strip,
    "reverse": lambda text: text[::-1],
    "charAt": char_at,
    "indexOf": lambda text, part, start=0: text.find(part, start),
    "lastIndexOf": lambda text, part: text.rfind(part),
    "substring": substring,
    "replace": lambda text, old, new, most=-1: text.replace(old, new, most),
    "split": lambda text, separator: text.split(separator),
    "join": lambda items, separator="": separator.join(items),
    "size": size,
    "getFullYear": of_date(lambda t: t.year),
    "getMonth": of_date(lambda t: t.month - 1),
    "getDate": of_date(lambda t: t.day),
    "getDayOfMonth": of_date(lambda t: t.day - 1),
    "getDayOfWeek": of_date(lambda t: t.isoweekday() % 7),
    "getDayOfYear": of_date(lambda t: t.timetuple().tm_yday - 1),
    "getHours": part_of("hour", 3600 * SECOND),
    "getMinutes": part_of("minute", 60 * SECOND),
    "getSeconds": part_of("second", SECOND),
    "getMilliseconds": part_of("ms", 10**6),
}
