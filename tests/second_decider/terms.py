"""Random expressions of every type, for `usher eval`: functions, conversions, loops, lists and maps."""

import json
import subprocess
import tempfile
from pathlib import Path

from evaluate import answer
from schema import Schema
from values import Enum, NoAnswer

SCHEMA = {
    "schema": "terms",
    "features": {
        "age": {"kind": "int", "min": 0, "max": 120}, "n": {"kind": "int", "min": -1000, "max": 1000}, "big": {"kind": "int"},
        "vip": {"kind": "bool"}, "aum": {"kind": "decimal", "scale": 2, "min": -1000000, "max": 10000000},
        "exact": {"kind": "float", "precision": "double"}, "score": {"kind": "float"},
        "tier": {"kind": "enum", "values": ["mass", "gold", "private"], "ordered": True},
        "likes": {"kind": "set", "values": ["alpha", "beta", "gamma"]}, "since": {"kind": "time"},
    },
}
VALUES = {
    "age": [0, 17, 41, 120], "n": [-1000, -7, 0, 3, 999], "big": [0, 2**62, -(2**62), 2**63 - 1, -(2**63) + 1], "vip": [True, False],
    "aum": [0, 499999.99, -0.01, 0.3], "exact": [0.7, -2.5, 1e300, 3, 0.1], "score": [0.7, 0.1, -2.5, 3, 16777217],
    "tier": ["mass", "gold", "private"], "likes": [[], ["alpha"], ["beta", "gamma"]],
    "since": ["2026-02-28T23:59:59Z", "2024-02-29T12:00:00Z", "1970-01-01T00:00:00Z", "2026-11-01T05:30:00-04:00"],
}
STRINGS = ["''", "'fx'", "'banana'", "'财富 wealth'", "'a,b,,c'", "' Mixed Case '", "'é'"]
ZONES = ["UTC", "Asia/Shanghai", "America/New_York", "-03:30", "+14:00", "Asia/Kathmandu", "Australia/Lord_Howe"]


class Terms:
    def __init__(self, rng):
        self.rng = rng

    def one(self, *choices):
        return self.rng.choice(choices)

    def make(self, kind, depth):
        return getattr(self, kind)(depth - 1 if self.rng.random() < 0.8 else 0)

    def int(self, d):
        if d <= 0:
            return self.one("0", "1", "-1", "3", "7", "age", "n", "big", "-7", "9223372036854775807", "2")
        i, j, f, s, t = (self.make(kind, d) for kind in ("int", "int", "double", "string", "time"))
        zone = self.rng.choice(ZONES)
        return self.one(
            f"({i} + {j})", f"({i} - {j})", f"{i} * {j}", f"{i} / ({j})", f"{i} % ({j})", f"-({i})", f"int({f})", f"size({s})",
            f"({self.make('bool', d)} ? {i} : {j})", f"math.greatest({i}, {j}, 3)", f"math.least({i}, {j})", f"math.abs({i})",
            f"math.sign({i})", f"math.bitAnd({i}, {j})", f"math.bitOr({i}, {j})", f"math.bitXor({i}, {j})", f"math.bitNot({i})",
            f"{s}.indexOf('a')", f"{s}.lastIndexOf('a')", f"{t}.getDayOfWeek('{zone}')", f"{t}.getHours('{zone}')",
            f"{t}.getDayOfYear('{zone}')", f"{t}.getDate('{zone}')", f"{t}.getDayOfMonth()", f"{t}.getMonth('{zone}')",
            f"{t}.getFullYear('{zone}')", f"{t}.getMinutes('{zone}')", f"{t}.getSeconds()", f"int({t})", f"size({self.make('ints', d)})",
            f"{self.make('ints', d)}[{self.one('0', '1', '2', '-1')}]", f"size(likes)", f"cel.bind(v, {i}, v + v)", f"int('41')",
            f"{self.make('span', d)}.getMinutes()", f"{self.make('span', d)}.getHours()", f"{{'a': {i}, 'b': 2}}.a", f"{{'a': {i}}}['{self.one('a', 'b')}']",
            f"math.bitShiftLeft({i}, {self.one('0', '1', '3', '63', '64')})", f"math.bitShiftRight({i}, {self.one('0', '1', '3', '64')})")

    def double(self, d):
        if d <= 0:
            return self.one("0.0", "1.5", "-2.5", "0.1", "1e6", "exact", "aum", "2.0", "0.3")
        f, g, i = (self.make(kind, d) for kind in ("double", "double", "int"))
        return self.one(
            f"({f} + {g})", f"({f} - {g})", f"{f} * {g}", f"{f} / ({g})", f"-({f})", f"double({i})", f"({self.make('bool', d)} ? {f} : {g})",
            f"math.round({f})", f"math.floor({f})", f"math.ceil({f})", f"math.trunc({f})", f"math.abs({f})", f"math.sign({f})",
            f"math.greatest({f}, {g})", f"math.least([{f}, {g}])", "double('2.5')", f"cel.bind(v, {f}, v * v)")

    def string(self, d):
        if d <= 0:
            return self.rng.choice(STRINGS)
        s, r, i = (self.make(kind, d) for kind in ("string", "string", "int"))
        return self.one(
            f"({s} + {r})", f"{s}.lowerAscii()", f"{s}.upperAscii()", f"{s}.trim()", f"{s}.reverse()", f"{s}.charAt({self.one('0', '1', '6', '9', '-1')})",
            f"{s}.substring({self.one('0', '2', '7')})", f"{s}.substring(1, {self.one('1', '3', '0', '9')})", f"{s}.replace('a', 'oo')",
            f"{s}.replace('a', 'o', {self.one('0', '1', '2', '-1')})", f"{s}.split(',').join('-')", f"string({i})", f"({self.make('bool', d)} ? {s} : {r})",
            f"string(vip)", f"[{s}, {r}].join({self.one('', chr(39) + '+' + chr(39))})")

    def time(self, d):
        if d <= 0:
            return self.one("since", "timestamp('2026-11-21T10:20:30Z')", "timestamp('2026-03-08T02:30:00-05:00')", "timestamp(0)", "timestamp(1700000000)")
        return self.one(f"({self.make('time', d)} + {self.make('span', d)})", f"({self.make('time', d)} - {self.make('span', d)})")

    def span(self, d):
        if d <= 0:
            return self.one("duration('1h30m')", "duration('-90m')", "duration('720h')", "duration('1.5s')", "duration('36h')")
        return self.one(f"({self.make('time', d)} - {self.make('time', d)})", f"({self.make('span', d)} + {self.make('span', d)})")

    def ints(self, d):
        if d <= 0:
            return self.one("[1, 2, 3]", "[age, n]", "[5]", "[3, 1, 3]")
        items = self.make("ints", d)
        return self.one(
            f"{items}.filter(i, i > {self.make('int', 0)})", f"{items}.map(i, i * 2)", f"{items}.map(i, i > 1, i + {self.make('int', 0)})",
            f"({items} + [{self.make('int', d)}])", f"{items}.transformList(k, v, v + k)", f"[{self.make('int', d)}, {self.make('int', d)}]")

    def bool(self, d):
        if d <= 0:
            return self.one("vip", "true", "false", "age == null", "has(customer.n)", "tier != null", "'alpha' in likes")
        i, j, f, g, s, r, t = (self.make(kind, d) for kind in ("int", "int", "double", "double", "string", "string", "time"))
        b, c, items, op = self.make("bool", d), self.make("bool", d), self.make("ints", d), self.one("<", "<=", ">", ">=", "==", "!=")
        word = self.one("mass", "gold", "private")
        return self.one(
            f"{i} {op} {j}", f"{f} {op} {g}", f"{i} {op} {f}", f"{s} {op} {r}", f"{t} {op} {self.make('time', d)}",
            f"{self.make('span', d)} {op} {self.make('span', d)}", f"({b} && {c})", f"({b} || {c})", f"!({b})", f"{s}.contains({r})",
            f"{s}.startsWith({r})", f"{s}.endsWith({r})", f"{s}.matches('^[a-z]+$')", f"{s}.matches('a.a')", f"{i} in {items}",
            f"{items}.all(i, i > {j})", f"{items}.exists(i, i == {j})", f"{items}.exists_one(i, i > {j})", f"tier {op} '{word}'",
            f"tier in ['{word}', 'gold']", f"likes.exists(i, i == 'beta')", f"likes.all(i, i != 'beta')", f"{items} == {self.make('ints', d)}",
            f"math.isNaN({f})", f"math.isInf({f})", f"math.isFinite({f})", f"({b} ? {c} : {self.make('bool', d)})", f"({b}) == ({c})",
            f"{i} in {{1: 'a', 3: 'b'}}", f"type({i}) == int", f"type({f}) == double", f"bool('true')", f"uint({self.make('int', 0)}) > 3u",
            f"{items}.exists(k, v, k == v)", f"{s} in [{r}, 'fx']", f"string({i}) == '3'")


class Variables:
    def __init__(self, schema, raw):
        self.schema, self.raw = schema, raw

    def value(self, root, name):
        if self.raw.get(name) is None:
            raise NoAnswer(name)
        return self.schema.value(self.schema.features[name], self.raw[name])


def differing(program, rng, number):
    """Expressions that `usher eval` and the second decider evaluate differently."""
    schema, questions = Schema(SCHEMA), []
    terms = Terms(rng)
    while len(questions) < number:
        text = terms.make(rng.choice(["int", "double", "string", "bool", "bool"]), rng.randint(1, 4))
        if len(text) < 600:
            raw = {name: rng.choice(pool) for name, pool in VALUES.items() if rng.random() < 0.8}
            questions.append({"expression": text, "variables": raw})
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "schema.yaml").write_text(json.dumps(SCHEMA))
        lines = "\n".join(json.dumps(question, ensure_ascii=False) for question in questions)
        run = subprocess.run([program, "eval", "--models", folder], input=lines, capture_output=True, text=True, env={})
    wrong = []
    if run.stdout.count("\n") != number:
        return [({"expression": "", "variables": {}}, run.stdout[-300:] + run.stderr[-600:], None)]
    for question, line in zip(questions, run.stdout.splitlines()):
        said = json.loads(line)
        try:
            second = {"value": answer(question["expression"], Variables(schema, question["variables"]))}
        except NoAnswer as missing:
            second = {"error": str(missing)}
        if not same(said, second):
            wrong.append((question, said, second))
    return wrong


def same(said, second):
    if "error" in said or "error" in second:
        return "error" in said and "error" in second
    a, b = said["value"], second["value"]
    if isinstance(b, float):
        b = {"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN"}.get(str(b), b)
    return a == b and (isinstance(a, bool) == isinstance(b, bool))


if __name__ == "__main__":
    import random
    import sys
    wrong = differing(sys.argv[1], random.Random(int(sys.argv[2])), int(sys.argv[3]))
    print(len(wrong))
    for question, said, second in sorted(wrong, key=lambda w: len(w[0]["expression"]))[:40]:
        print(question["expression"], {k: v for k, v in question["variables"].items() if k in question["expression"]}, said, second)
