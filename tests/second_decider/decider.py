"""Decides one request, in the plainest way: every condition of every offer, one after the other.

Written from docs/reference/rule-sets.md, docs/reference/locales.md and docs/reference/http.md alone, as a second opinion on the program.
"""

import math
from datetime import timedelta

import languages
import times
from bundle import Bundle
from evaluate import answer, holds
from schema import STORED, computed
from values import SECOND, Enum, NoAnswer, Time, Written, WrittenInt

DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


class Customer:
    """What is known of a customer. `events` are (type, at, properties), `contacts` are dicts; both as they came."""

    def __init__(self, id, features=None):
        self.id, self.features, self.events, self.contacts = id, features, [], []

    def happened(self, what, at, properties):
        self.events.append((what, at, properties))

    def met(self, contact, at):
        """An outcome: a contact, and an event that computed features may count."""
        self.contacts.append({**contact, "at": at})
        said = {key: contact[key] for key in ("offer", "placement", "channel")}
        self.happened(contact["outcome"], at, {**said, **contact.get("properties", {})})

    def known(self):
        return self.features is not None or bool(self.events or self.contacts)


class Facts:
    """The names that a condition of a rule set sees."""

    def __init__(self, bundle, customer, request, now, rule_set=None, offer=None, variants=None):
        self.bundle, self.customer, self.request, self.now = bundle, customer, request, now
        self.rule_set, self.offer, self.variants = rule_set, offer, variants or {}

    def of(self, rule_set, offer):
        return Facts(self.bundle, self.customer, self.request, self.now, rule_set, offer, self.variants)

    def value(self, root, name):
        found = self.known(root, name)
        if found is None and root != "offer":
            raise NoAnswer(f"{root}.{name}")
        return found

    def known(self, root, name):
        schema, rule_set = self.bundle.schema, self.bundle.rule_sets.get(self.rule_set)
        if root is None and name == "now":
            return Time(self.now)
        if root in (None, "customer"):
            feature = schema.features[name]
            if feature["kind"] not in STORED:
                return computed(schema, feature, self.customer.events, self.now)
            raw = (self.customer.features or {}).get(name)
            return None if raw is None else schema.value(feature, raw)
        if root == "context":
            if name == "channel":
                return Enum(self.request["channel"], schema.channels)
            raw = (self.request.get("context") or {}).get(name)
            return None if raw is None else schema.value(schema.context[name], raw, stored=False)
        if root == "tag":
            return answer(rule_set["tags"][name], self)
        if root == "param":
            return parameter(rule_set["parameters"][name], self.variants)
        return self.attribute(name)

    def attribute(self, name):
        spec, attributes = self.bundle.offers[self.offer][0], self.bundle.attributes(self.offer)
        plain = {"id": self.offer, "priority": spec.get("priority", 5), "group": attributes.get("group"),
                 "value": float(attributes.get("value", 1))}
        if name in plain:
            return plain[name]
        raw = attributes.get(name)
        return None if raw is None else self.bundle.schema.value(self.bundle.schema.attributes[name], raw, False)


def parameter(spec, variants):
    values = {key: value for key, value in spec.items() if key != "description"}
    found = values["default"]
    for experiment, variant in variants.items():
        found = values.get(f"{experiment}.{variant}", found)
    if isinstance(found, (bool, str)):
        return found
    return Written(found) if any(isinstance(value, float) for value in values.values()) else WrittenInt(found)


def is_open(schedule, now, zone):
    """Whether a schedule is open, in the schema's zone unless it names its own. A night belongs to the day on which it begins."""
    zone = schedule.get("timezone", zone)
    local = times.local(now, zone)
    minute = local.hour * 60 + local.minute
    first, last = None, None
    if "from" in schedule:
        if times.DAY.fullmatch(schedule["from"]):
            first = schedule["from"]
        elif now < times.moment(schedule["from"]):
            return False
    if "until" in schedule:
        if times.DAY.fullmatch(schedule["until"]):
            last = schedule["until"]
        elif now >= times.moment(schedule["until"]):
            return False

    def on(day):
        inside = (first is None or first <= day.isoformat()) and (last is None or day.isoformat() <= last)
        return inside and DAYS[day.weekday()] in schedule.get("days", DAYS)

    today, yesterday = local.date(), local.date() - timedelta(days=1)
    ranges = schedule.get("hours", "00:00-24:00")
    for hours in [ranges] if isinstance(ranges, str) else ranges:
        begin, end = (int(part[:2]) * 60 + int(part[3:]) for part in hours.split("-"))
        if begin < end:
            if begin <= minute < end and on(today):
                return True
        elif (minute >= begin and on(today)) or (minute < end and on(yesterday)):
            return True
    return False


def tag_of(locale):
    return locale and languages.read(locale)


def plain(locale):
    return locale and locale.replace("_", "-").lower()


def in_variant(wanted, variants):
    if wanted is None:
        return True
    experiment, variant = wanted.split(".")
    return variants.get(experiment) == variant


def treatment(spec, placement, locale, variants):
    """The treatment that is shown, or None."""
    for level in [*languages.wanted(locale), None]:
        fit = [one for one in spec["treatments"] if one["placement"] == placement
               and tag_of(one.get("locale")) == level and in_variant(one.get("variant"), variants)]
        for one in [one for one in fit if one.get("variant")] + fit:
            return one
    return None


def treatment_name(one):
    parts = [one["placement"], plain(one.get("locale")), (one.get("variant") or "").partition(".")[2]]
    return one.get("id") or ".".join(part for part in parts if part)


def reason(spec, locale):
    found = spec.get("reason")
    if found is None or isinstance(found, str):
        return found
    for level in [*languages.wanted(locale), None]:
        for key, text in found.items():
            if (None if key == "default" else tag_of(key)) == level:
                return text
    return next(iter(found.values()))


def within(cap, at, now):
    """Whether a contact counts for a cap."""
    if cap["per"] == "forever":
        return True
    seconds = times.span(cap["per"])
    if "timezone" in cap:
        return times.day_number(now, cap["timezone"]) - times.day_number(at, cap["timezone"]) < seconds // 86400
    return now // SECOND - at // SECOND < seconds


class Decision:
    def __init__(self, bundle, customer, request, now, budgets=None):
        self.bundle, self.customer, self.request, self.now = bundle, customer, request, now
        self.variants = bundle.variants(customer.id)
        self.facts = Facts(bundle, customer, request, now, variants=self.variants)
        self.budgets = budgets
        self.shown, self.groups, self.new = set(), {}, []

    def placements(self):
        return [self.fill(asked) for asked in self.request["placements"]]

    def fill(self, asked):
        place, spec = asked["id"], self.bundle.placements[asked["id"]]
        wanted = asked.get("count", spec.get("count", 1))
        found = []
        if not self.bundle.held_out(self.customer.id):
            for offer in self.ranked(place):
                if len(found) == wanted:
                    break
                if self.may_show(offer, place):
                    found.append(self.show(offer, place, len(found) + 1))
                    self.take(offer, place)
        fallback = not found and "fallback" in spec
        if fallback:
            found = [{**self.show(spec["fallback"], place, 1), "score": 0.0}]
            self.note(spec["fallback"], place)
        return {"id": place, "fallback": fallback, "propositions": found}

    def ranked(self, place):
        offers = [name for name, (spec, _) in self.bundle.offers.items()
                  if place in (spec.get("placements") or []) and self.eligible(name)]
        return sorted(offers, key=lambda name: (self.bundle.offers[name][0].get("priority", 5),
                                                -self.score(name)["score"], name))

    def eligible(self, offer):
        spec, rule_set = self.bundle.offers[offer]
        if "schedule" in spec and not is_open(spec["schedule"], self.now, self.bundle.schema.zone):
            return False
        if not in_variant(spec.get("variant"), self.variants):
            return False
        if "when" in spec and not holds(condition(spec["when"]), self.facts.of(rule_set, offer)):
            return False
        return all(holds(condition(text), self.facts.of(owner, offer)) for text, owner in self.bundle.guardrails)

    def number(self, offer, field, otherwise):
        spec, rule_set = self.bundle.offers[offer]
        written = spec.get(field)
        if written is None:
            return 1.0
        if not isinstance(written, str):
            return float(written)
        try:
            found = answer(written, self.facts.of(rule_set, offer))
            return otherwise if found is None else float(found)
        except NoAnswer:
            return otherwise

    def score(self, offer):
        propensity = min(max(self.number(offer, "propensity", 0.0), 0.0), 1.0)
        boost = max(self.number(offer, "boost", 1.0), 0.0)
        value = float(self.bundle.attributes(offer).get("value", 1))
        score = propensity * value * boost
        return {"score": score if math.isfinite(score) else 0.0}

    def may_show(self, offer, place):
        spec, _ = self.bundle.offers[offer]
        group = self.bundle.group_of(offer)
        if offer in self.shown or treatment(spec, place, self.request.get("locale"), self.variants) is None:
            return False
        if group and self.groups.get(group, 0) >= (self.bundle.groups.get(group) or {}).get("max", 1):
            return False
        if any(self.capped(cap, scope, offer, place) for cap, scope in self.caps(offer, place)):
            return False
        if any(self.suppressed(offer, outcome, span) for outcome, span in (spec.get("suppress") or {}).items()):
            return False
        return self.budgets is None or self.budgets.open_for(offer, self.customer.id, self.now)

    def caps(self, offer, place):
        """Caps that bind an offer on a placement, each with whose contacts it counts: a test of a contact."""
        spec, rule_set = self.bundle.offers[offer]
        group = self.bundle.group_of(offer)
        of_offer = lambda c: c["offer"] == offer
        of_group = lambda c: self.bundle.group_of(c["offer"]) == group
        of_rule_set = lambda c: self.bundle.rule_set_of(c["offer"]) == rule_set
        everything = lambda c: True
        places = [(cap, "offer", of_offer) for cap in spec.get("caps") or []]
        if group:
            places += [(cap, "group", of_group) for cap in (self.bundle.groups.get(group) or {}).get("caps") or []]
        places += [(cap, "placement", lambda c: c["placement"] == place)
                   for cap in self.bundle.placements[place].get("caps") or []]
        for cap, owner, guards in self.bundle.caps:
            if guards or owner == rule_set:
                places.append((cap, "rule_set", everything if guards else of_rule_set))
        for cap, default, whose in places:
            scope = cap.get("scope", default)
            if scope == "group" and not group:
                continue
            yield cap, {
                "offer": of_offer, "group": of_group, "rule_set": of_rule_set, "all": everything,
                "placement": lambda c: whose(c) and c["placement"] == place,
                "channel": lambda c: whose(c) and c["channel"] == self.request["channel"],
            }[scope]

    def capped(self, cap, counted, offer, place):
        on = cap.get("on", "impression")
        contacts = sorted(self.customer.contacts, key=lambda c: c["at"])[-256:]
        if on == "impression":
            contacts = contacts + self.new
        return sum(c["outcome"] == on and self.bundle.counts(c["offer"]) and counted(c)
                   and within(cap, c["at"], self.now) for c in contacts) >= cap["max"]

    def suppressed(self, offer, outcome, span):
        return any(c["offer"] == offer and c["outcome"] == outcome and within({"per": span}, c["at"], self.now)
                   for c in self.customer.contacts)

    def take(self, offer, place):
        group = self.bundle.group_of(offer)
        self.shown.add(offer)
        self.groups[group] = self.groups.get(group, 0) + 1
        self.note(offer, place)
        if self.budgets is not None:
            self.budgets.hold(offer, self.customer.id, self.now)

    def note(self, offer, place):
        """Propositions of one answer count each other as impressions of this moment."""
        self.new.append({"offer": offer, "placement": place, "channel": self.request["channel"],
                         "outcome": "impression", "at": self.now})

    def show(self, offer, place, rank):
        spec, _ = self.bundle.offers[offer]
        locale = self.request.get("locale")
        one = treatment(spec, place, locale, self.variants)
        shown = {"offer": offer, "treatment": treatment_name(one), "rank": rank, **self.score(offer),
                 "propensity": 1.0, "content": one["content"]}
        text = reason(spec, locale)
        return shown if text is None else {**shown, "reason": text}


def condition(written):
    """A condition as text: YAML may have read `true` as a bool."""
    return written if isinstance(written, str) else str(written).lower()
