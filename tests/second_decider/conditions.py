"""Random conditions and numbers, of the right types by construction."""

import re

WORDS = ["alpha", "beta", "gamma", "delta"]
PAGES = ["home", "cards", "fx"]
TEXTS = ["fx", "mortgage loan", "Fx", ""]
ZONES = ["UTC", "Asia/Shanghai", "America/New_York", "Europe/Berlin", "Asia/Kolkata", "+05:30"]
DURATIONS = ["1h", "36h", "720h", "90m", "1h30m", "8784h"]


# The program refuses what never has a value.
UNWRITTEN = r"offer\.label\.(substring|charAt)"


class Writer:
    """Writes conditions over the names that one place sees."""

    def __init__(self, rng, schema, tags=(), parameters=None, offer=None, context=True,
                 moment="2026-11-20T10:00:00Z", guardrail=False):
        self.rng, self.schema, self.offer, self.moment = rng, schema, offer, moment
        self.tags, self.parameters, self.context = list(tags), parameters or {}, context
        self.guardrail, self.names = guardrail, {}
        for name, kind in schema["features"].items():
            self.add(name, f"customer.{name}", kind)
        if context:
            for name, kind in schema["context"].items():
                self.add(f"context.{name}", f"context.{name}", kind)
        for name, kind in schema["offer_attributes"].items():
            if offer and name in offer:
                self.add(f"offer.{name}", f"offer.{name}", kind)

    def add(self, name, full, kind):
        kind = held_by(kind, self.schema)
        self.names.setdefault(SORTS.get(kind["kind"], kind["kind"]), []).append((name, full, kind))

    def pick(self, sort):
        return self.rng.choice(self.names[sort]) if self.names.get(sort) else None

    def bool(self, depth=3):
        rng = self.rng
        if depth > 0 and rng.random() < 0.55:
            a, b = self.bool(depth - 1), self.bool(depth - 1)
            return rng.choice([f"{a} && {b}", f"({a} || {b})", f"({a}) || {b}", f"!({a})", f"({a} ? {b} : {self.bool(0)})"])
        for _ in range(20):
            made = getattr(self, rng.choice(LEAVES))()
            if made and not re.search(UNWRITTEN, made):
                return self.guarded(made)
        return "true"

    def guarded(self, leaf):
        """In a guardrail, an attribute may be null: what has no value there is refused."""
        attributes = sorted(set(re.findall(r"offer\.(?!value|priority|id|group)\w+", leaf)))
        if not self.guardrail or not attributes or re.fullmatch(r"!?\(?offer\.\w+ (==|!=|in) ['n\[].*", leaf):
            return leaf
        nulls = " || ".join(f"{attribute} == null" for attribute in attributes)
        return f"({nulls} || {leaf})"

    def of_int(self):
        name = self.pick("int")
        if not name:
            return None
        left = name[0]
        if self.rng.random() < 0.35:
            left = self.int_term(name)
        return f"{left} {self.compare()} {self.int_constant()}"

    def int_term(self, name):
        other, c = self.pick("int")[0], self.rng.randint(1, 9)
        return self.rng.choice([
            f"{name[0]} + {c}", f"{name[0]} * {c} - {other}", f"{name[0]} / {c}", f"{name[0]} % {c}", f"-{name[0]}",
            f"{name[0]} / ({other} - {c})", f"math.abs({name[0]})", f"math.greatest({name[0]}, {other})",
            f"({name[0]} > {other} ? {name[0]} : {other})", f"int(double({name[0]}) * 1.5)", f"size(string({name[0]}))"])

    def int_constant(self):
        return self.rng.choice(["0", "1", "2", "3", "5", "18", "30", "41", "65", "-1", "-7", "0x1F", "41.5", "2.0"])

    def of_double(self):
        name = self.pick("double")
        if not name:
            return None
        left = name[0]
        if self.rng.random() < 0.35:
            left = self.double_term(name)
            return f"{left} {self.rng.choice(['<', '>', '<=', '>='])} {self.double_constant()}"
        return f"{left} {self.compare()} {self.double_constant()}"

    def double_term(self, name):
        other, integer = self.pick("double")[0], self.pick("int")
        return self.rng.choice([
            f"{name[0]} * 1.5", f"{name[0]} + {other}", f"{name[0]} - {other}", f"{name[0]} / {other}",
            f"math.round({name[0]})", f"math.floor({name[0]} * 10.0)", f"math.abs({name[0]})", f"math.sign({name[0]})",
            f"({name[0]} > 0.5 ? {name[0]} : 0.25)", f"double({integer[0]}) * 0.5" if integer else "1.0",
            f"cel.bind(v, {name[0]} + 1.0, v * v)"])

    def double_constant(self):
        return self.rng.choice(["0.0", "0.1", "0.5", "0.7", "0.25", "0.1234567890123", "0.12345679", "1.0", "-0.3", "100000", "500000.5", "2.5", "1e6", "3"])

    def of_float_list(self):
        name = self.pick("double")
        if not name:
            return None
        a, b = self.double_constant(), self.double_constant()
        short = self.rng.choice(["0.7", "0.1", "3.0"])
        return self.rng.choice([
            f"{name[0]} in [{a}, {b}, 0.7]", f"[0.1, 0.7, 2.5].exists(i, i == {name[0]})", f"[{name[0]}, 1.0].exists(i, i == {short})",
            f"cel.bind(v, {name[0]}, v == {short})", f"({name[0]} > 0.5 ? {name[0]} : 0.1) == {short}",
            f"math.greatest({name[0]}, 0.1) == {short}", f"math.least({name[0]}, 0.7) == {short}", f"[{name[0]}][0] == {short}",
            f"{{'a': {name[0]}}}.a == {short}", f"{name[0]} * 1.0 == {short}"])

    def of_int_list(self):
        name = self.pick("int")
        return name and self.rng.choice([
            f"{name[0]} in [1, 2, 3, 41]", f"[1, 2, 3].exists(i, i == {name[0]})", f"[0, 5].all(i, {name[0]} >= i)",
            f"[{name[0]}, 3, 5].filter(i, i > 2).size() == 2", f"[1, 2].map(i, i * {name[0]})[1] > 4",
            f"[18, 41, {name[0]}].exists_one(i, i == {name[0]})"])

    def of_enum(self):
        name = self.pick("enum")
        if not name:
            return None
        left, _, kind = name
        word = self.rng.choice(kind["values"])
        many = self.rng.sample(kind["values"], self.rng.randint(1, len(kind["values"])))
        made = [f"{left} == '{word}'", f"{left} != '{word}'", f"{left} in {many!r}", f"!({left} in {many!r})"]
        if kind.get("ordered"):
            made += [f"{left} {self.compare()} '{word}'"] * 3
            same = [n for n, _, k in self.names["enum"] if k.get("ordered") and k["values"] == kind["values"]]
            made += [f"{left} {self.compare()} {self.rng.choice(same)}"] * 2
        return self.rng.choice(made)

    def of_channel(self):
        if not self.context:
            return None
        channel = self.rng.choice(self.schema["channels"])
        return self.rng.choice([f"context.channel == '{channel}'", f"context.channel in ['{channel}']"])

    def of_set(self):
        name = self.pick("set")
        if not name:
            return None
        word = self.rng.choice(name[2]["values"])
        return self.rng.choice([
            f"'{word}' in {name[0]}", f"!('{word}' in {name[0]})", f"size({name[0]}) >= 2", f"{name[0]}.size() == 1",
            f"{name[0]}.exists(i, i == '{word}')", f"{name[0]}.all(i, i != '{word}')",
            f"{name[0]}.exists(i, i in ['alpha', '{word}'])"])

    def of_bool(self):
        name = self.pick("bool")
        return name and self.rng.choice([name[0], f"!{name[0]}", f"{name[0]} == true"])

    def of_text(self):
        name = self.pick("string")
        if not name:
            return None
        text = self.rng.choice(TEXTS)
        return self.rng.choice([
            f"{name[0]} == '{text}'", f"{name[0]}.contains('{text}')", f"{name[0]}.lowerAscii() == 'fx'",
            f"{name[0]}.startsWith('m')", f"size({name[0]}) > 3", f"{name[0]} in ['fx', '{text}']",
            f"{name[0]}.matches('^[a-z]+ ')", f"{name[0]}.split(' ').size() == 2", f"{name[0]} < 'g'",
            f"{name[0]}.charAt(1) == 'x'", f"{name[0]}.substring(1) == 'x'", f"{name[0]}.indexOf('loan') == 9"])

    def computed(self):
        """A condition on computed features alone."""
        rng, made = self.rng, []
        for _ in range(rng.randint(1, 2)):
            sort = rng.choice(["int", "int", "double", "enum", "bool", "time"])
            names = [name for name in self.names.get(sort, []) if re.fullmatch(r"c\d", name[0])]
            if not names:
                continue
            name, _, kind = rng.choice(names)
            made.append({
                "int": f"{name} {self.compare()} {rng.randint(0, 4)}", "double": f"{name} {self.compare()} {self.double_constant()}",
                "enum": f"{name} == '{rng.choice(kind.get('values', ['']))}'", "bool": name,
                "time": f"now - {name} < duration('{rng.choice(DURATIONS)}')"}[sort])
        return rng.choice([" && ", " || "]).join(made) or "true"

    def of_known(self):
        sorts = [sort for sort in self.names]
        name = self.pick(self.rng.choice(sorts))
        made = [f"{name[0]} == null", f"{name[0]} != null"]
        if not name[1].startswith("offer."):
            made.append(f"has({name[1]})")
        return self.rng.choice(made)

    def of_time(self):
        name = self.pick("time")
        if not name:
            return None
        zone = self.rng.choice(ZONES)
        return self.rng.choice([
            f"{name[0]} {self.compare()} timestamp('{self.moment}')", f"now - {name[0]} < duration('{self.rng.choice(DURATIONS)}')",
            f"now > {name[0]}", f"{name[0]} + duration('{self.rng.choice(DURATIONS)}') <= now",
            f"{name[0]}.getHours('{zone}') >= 12", f"{name[0]}.getDayOfWeek('{zone}') in [0, 6]",
            f"{name[0]}.getMonth() == 10", f"(now - {name[0]}).getHours() > 30", f"{name[0]}.getDate('{zone}') > 15",
            f"{name[0]}.getDayOfYear() < 300"])

    def of_now(self):
        zone = self.rng.choice(ZONES)
        return self.rng.choice([
            f"now.getDayOfWeek('{zone}') in [1, 3, 5]", f"now.getDate('{zone}') <= 15",
            f"now >= timestamp('{self.moment}')", f"now.getHours('{zone}') < 12"])

    def of_tag(self):
        return f"tag.{self.rng.choice(self.tags)}" if self.tags else None

    def of_parameter(self):
        if not self.parameters:
            return None
        name = self.rng.choice(sorted(self.parameters))
        value = self.parameters[name]["default"]
        if isinstance(value, bool):
            return f"param.{name}"
        if isinstance(value, str):
            return f"param.{name} == 'long'"
        left = self.pick("int") if isinstance(value, int) else self.pick("double")
        return left and f"{left[0]} {self.rng.choice(['<', '>=', '>'])} param.{name}"

    def of_offer(self):
        if not self.offer:
            return None
        return self.rng.choice([
            "offer.value >= 50", "offer.priority < 5", "offer.id.startsWith('o1')", "offer.group == 'g1'",
            "offer.group == null", "offer.min_age == null || age >= offer.min_age"])

    def compare(self):
        return self.rng.choice(["==", "!=", "<", "<=", ">", ">="])

    def number(self, field):
        """An expression of type double, for propensities and boosts."""
        name, most = self.pick("double")[0], 1.5 if field == "boost" else 0.75
        return self.rng.choice([
            name, f"({self.bool(1)}) ? 0.5 : 0.25", f"({self.bool(1)}) ? {most} : 1.0", f"{name} * 0.5",
            f"{name} == null ? 0.2 : {name}", f"0.1 + {name}",
            f"double({self.pick('int')[0]}) / 100.0"])


LEAVES = ["of_int", "of_double", "of_enum", "of_set", "of_bool", "of_text", "of_known", "of_time", "of_now", "of_tag",
          "of_parameter", "of_offer", "of_float_list", "of_int_list", "of_channel", "of_enum", "of_int", "of_double"]


SORTS = {"float": "double", "decimal": "double", "count": "int", "streak": "int", "recency": "int", "distinct": "int"}


def held_by(kind, schema):
    """The kind of the values that a computed feature has, as far as it is a property's or a time."""
    if kind["kind"] in ("sum", "max", "min", "last", "first"):
        if "property" not in kind:
            return {"kind": "time"}
        properties = schema["events"].get(kind["event"], {"properties": {"value": {"kind": "float"}}})["properties"]
        return properties[kind["property"]]
    return kind
