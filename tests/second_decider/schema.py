"""The schema, and what it makes of the values of customers, requests and events (docs/reference/schema.md)."""

from fractions import Fraction

import times
from evaluate import holds
from values import SECOND, Enum, NoAnswer, Single, Time, Words, single

OUTCOMES = ("impression", "click", "dismiss", "convert")
CHANNELS = ["app", "chatbot", "web", "sms", "push", "branch", "rm"]
OUTCOME_PROPERTIES = {
    "offer": {"kind": "string"}, "placement": {"kind": "string"}, "channel": {"kind": "string"},
    "value": {"kind": "float", "precision": "double"},
}
STORED = ("bool", "int", "float", "decimal", "enum", "set", "time")


class Schema:
    def __init__(self, document):
        self.channels = document.get("channels", CHANNELS)
        self.zone = document.get("timezone", "UTC")
        self.features = document.get("features") or {}
        self.context = document.get("context") or {}
        self.attributes = document.get("offer_attributes") or {}
        events = document.get("events") or {}
        self.events = {name: (event or {}).get("properties") or {} for name, event in events.items()}
        self.events.update({outcome: OUTCOME_PROPERTIES for outcome in OUTCOMES})

    def value(self, kind, raw, stored=True):
        """What a written value is in conditions. Only what a feature stores is rounded to single precision."""
        what = kind["kind"]
        if what == "float":
            return Single(single(raw)) if stored and kind.get("precision") != "double" else float(raw)
        if what == "decimal":
            return float(raw)
        if what == "enum":
            return Enum(raw, kind["values"])
        if what == "set":
            return Words(set(raw), kind["values"])
        if what == "time":
            return Time(times.moment(raw, self.zone) // SECOND * SECOND)
        return raw


class Properties:
    """The names that a schema's `when` sees."""

    def __init__(self, schema, kinds, properties):
        self.schema, self.kinds, self.properties = schema, kinds, properties

    def value(self, root, name):
        raw = self.properties.get(name)
        if raw is None:
            raise NoAnswer(f"no {name}")
        return self.schema.value(self.kinds[name], raw, stored=False)


def computed(schema, feature, events, now):
    """A feature computed from the events of a customer: `(type, at, properties)` in the order of arrival."""
    kinds = schema.events[feature["event"]]
    taken = []
    for what, at, properties in events:
        if what != feature["event"]:
            continue
        if "when" in feature and not holds(feature["when"], Properties(schema, kinds, properties)):
            continue
        raw = properties.get(feature["property"]) if "property" in feature else True
        if raw is not None:
            taken.append((at, raw))
    return KINDS[feature["kind"]](schema, feature, taken, now, kinds.get(feature.get("property")))


def in_window(feature, taken, now):
    """What lies in the buckets that are open: as many as the feature has, and the one that is filling."""
    if "window" not in feature:
        return [raw for _, raw in taken]
    window, buckets = times.span(feature["window"]), feature.get("buckets", 8)
    width = -(-window // buckets) * SECOND
    return [raw for at, raw in taken if now // width - at // width <= buckets]


def count(schema, feature, taken, now, kind):
    return len(in_window(feature, taken, now))


def total(schema, feature, taken, now, kind):
    raws = in_window(feature, taken, now)
    if kind["kind"] == "int":
        return sum(raws)
    return float(sum((Fraction(str(raw)) for raw in raws), Fraction(0)))


def extreme(choose):
    def of(schema, feature, taken, now, kind):
        raws = in_window(feature, taken, now)
        if not raws:
            raise NoAnswer("nothing happened")
        return schema.value(kind, choose(raws))
    return of


def distinct(schema, feature, taken, now, kind):
    if feature.get("per") == "day":
        today, days = times.day_number(now, schema.zone), times.span(feature["window"]) // 86400
        seen = {times.day_number(at, schema.zone) for at, _ in taken}
        return sum(day >= today - days for day in seen)
    return len(set(in_window(feature, taken, now)))


def one(last):
    def of(schema, feature, taken, now, kind):
        if "window" in feature:
            taken = [(at, raw) for at, raw in taken if now // SECOND - at // SECOND < times.span(feature["window"])]
        if not taken:
            raise NoAnswer("nothing happened")
        seconds = [at // SECOND for at, _ in taken]
        if last:
            place = len(seconds) - 1 - seconds[::-1].index(max(seconds))
        else:
            place = seconds.index(min(seconds))
        return schema.value(kind, taken[place][1]) if "property" in feature else Time(seconds[place] * SECOND)
    return of


def streak(schema, feature, taken, now, kind):
    def step(ns):
        day = times.day_number(ns, schema.zone)
        return day if feature["per"] == "day" else (day + 3) // 7  # 1970 began on a Thursday
    seen, at = {step(at) for at, _ in taken}, step(now)
    if at not in seen:
        at -= 1
    length = 0
    while at - length in seen:
        length += 1
    return length


def recency(schema, feature, taken, now, kind):
    if not taken:
        raise NoAnswer("nothing happened")
    return (now // SECOND - max(at for at, _ in taken) // SECOND) // 86400


KINDS = {"count": count, "sum": total, "max": extreme(max), "min": extreme(min), "distinct": distinct,
         "last": one(True), "first": one(False), "streak": streak, "recency": recency}
