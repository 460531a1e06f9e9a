"""Random bundles, customers, histories and requests."""

import json
from datetime import datetime, timedelta, timezone

import times
from conditions import PAGES, TEXTS, WORDS, Writer

TIERS = ["mass", "silver", "gold", "private"]
CHANNELS = ["app", "chatbot", "push"]
LOCALES = [None, "en", "zh", "zh-CN", "de", "en-GB", "zh-Hant", "zh-Hant-TW", "zh_TW", "zh-Hans", "sr", "sr-Latn", "en-US", "nb"]
ASKED = ["en", "zh", "zh-CN", "zh_CN", "EN-gb", "de", "fr", "en-US", "zh-Hant-TW", "zh-TW", "zh-hant", "zh-Hans-CN", "zh-HK", "zh-SG",
         "sr-ME", "sr-RS", "sr_RS@latin", "sh", "nn-NO", "no", "en_US.UTF-8", "zh_TW_#Hant", "de-CH-1996", "cmn-TW", "de-a-b-c-d-e", "*", "", "C",
         "fr;q=0.3, zh-TW, en;q=0.8", "zh-TW,zh;q=0", "de;q=0.5, *;q=0.1, nb"]
WINDOWS = ["90m", "12h", "1d", "7d", "30d", "366d", None]
SPANS = ["30m", "12h", "1d", "7d", "30d", "forever"]
ZONES = ["UTC", "Asia/Shanghai", "America/New_York", "Pacific/Auckland", "Europe/Berlin", "Asia/Kolkata"]
OUTCOMES = ["impression", "click", "dismiss", "convert"]


def since_midnight(now, days, zone):
    """Seconds since the day began that was so many days ago."""
    day = times.local(now * 10**9, zone).date() - timedelta(days=days)
    return now - times.start_of_day(day, zone) // 10**9


def text_of(moment):
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


# How often an offer or a bundle has something, by theme: a bundle about one thing shows its edges.
THEMES = {
    "mixed": {"when": 0.75, "guardrails": 0.5, "schedule": 0.3, "caps": 0.35, "suppress": 0.3, "holdout": 0.2, "experiments": 0.5,
              "budgets": 0.4},
    "conditions": {"when": 1, "guardrails": 0.8},
    "features": {"when": 1, "features": 1},
    "schedules": {"when": 0.1, "schedule": 0.9},
    "caps": {"caps": 0.8, "suppress": 0.5, "guardrails": 0.2},
    "experiments": {"experiments": 1, "holdout": 0.3, "when": 0.3},
    "budgets": {"budgets": 1, "caps": 0.1},
}


class Generator:
    def __init__(self, rng, now, golden):
        self.rng, self.now, self.golden = rng, now, golden
        self.theme = THEMES[rng.choice(sorted(THEMES))]
        self.schema = self.make_schema()
        self.rule_sets = self.make_rule_sets()

    def has(self, what):
        return self.chance(self.theme.get(what, 0))

    def chance(self, share):
        return self.rng.random() < share

    def make_schema(self):
        rng = self.rng
        events = {
            "view": {"properties": {"page": {"kind": "enum", "values": PAGES}, "word": {"kind": "string"},
                                    "seconds": {"kind": "int", "min": 0, "max": 86400}, "ok": {"kind": "bool"}}},
            "pay": {"properties": {"amount": {"kind": "decimal", "scale": 2, "min": -1000, "max": 1000000},
                                   "rate": {"kind": "float"}, "at": {"kind": "time"}}},
        }
        features = {
            "age": {"kind": "int", "min": 0, "max": 120},
            "n": {"kind": "int", "min": -1000, "max": 1000},
            "big": {"kind": "int"},
            "vip": {"kind": "bool"},
            "consent": {"kind": "bool"},
            "aum": {"kind": "decimal", "scale": 2, "min": -1000000, "max": 10000000},
            "score": {"kind": "float"},
            "exact": {"kind": "float", "precision": "double"},
            "tier": {"kind": "enum", "values": TIERS, "ordered": True},
            "peer": {"kind": "enum", "values": TIERS, "ordered": True},
            "mood": {"kind": "enum", "values": ["calm", "angry", "happy"]},
            "likes": {"kind": "set", "values": WORDS},
            "since": {"kind": "time"},
        }
        for number in range(6 if self.has("features") else rng.randint(0, 4)):
            features[f"c{number}"] = self.computed()
        return {
            "schema": "random", "channels": CHANNELS, "timezone": rng.choice(ZONES), "features": features,
            "context": {"page": {"kind": "enum", "values": PAGES}, "intent": {"kind": "string"},
                        "amount": {"kind": "float"}, "items": {"kind": "int", "min": 0, "max": 99}, "abroad": {"kind": "bool"}},
            "events": events,
            "offer_attributes": {"product": {"kind": "enum", "values": ["cards", "loans", "service"]},
                                 "risk": {"kind": "enum", "values": TIERS, "ordered": True},
                                 "min_age": {"kind": "int", "min": 0, "max": 120}, "perk": {"kind": "bool"},
                                 "fee": {"kind": "float"}, "label": {"kind": "string"}},
        }

    def computed(self):
        rng = self.rng
        kind = rng.choice(["count", "count", "sum", "max", "min", "distinct", "distinct", "last", "first", "streak", "recency"])
        if self.chance(0.25):
            return self.of_outcome(kind)
        event = rng.choice(["view", "pay"])
        numeric = "seconds" if event == "view" else "amount"
        made = {"kind": kind, "event": event}
        if self.chance(0.4):
            made["when"] = rng.choice(
                ["page == 'home'", "seconds >= 5 && ok", "page in ['fx', 'cards'] || ok", "word == 'fx'", "!(ok)",
                 "has(event.word) && word.contains('f')"]
                if event == "view" else ["amount > 100.0", "rate == 0.7", "rate == 0.1234567890123", "rate > 0.12345678", "amount >= 5 || rate < 0.5", "rate in [0.1, 0.7]",
                                                   "[0.1, 0.7].exists(i, i == rate)"])
        if kind in ("sum", "max", "min"):
            made["property"] = numeric
        if kind in ("max", "min") and event == "pay" and self.chance(0.3):
            made["property"] = "rate"
        if kind in ("last", "first") and self.chance(0.6):
            made["property"] = rng.choice(["page", "seconds", "ok"] if event == "view" else ["amount", "rate"])
        if kind == "distinct":
            if event == "pay" or self.chance(0.5):
                made["per"], made["window"] = "day", rng.choice(["1d", "7d", "30d"])
                return made
            made["property"] = rng.choice(["page", "ok"])
        if kind == "streak":
            made["per"] = rng.choice(["day", "week"])
        window = rng.choice(WINDOWS)
        if window and kind in ("count", "sum", "max", "min", "distinct", "last"):
            made["window"] = window
            if kind != "last" and self.chance(0.4):
                made["buckets"] = rng.choice([1, 2, 7, 30, 64])
        return made

    def of_outcome(self, kind):
        rng = self.rng
        if kind in ("streak", "distinct"):
            kind = "count"
        made = {"kind": kind, "event": rng.choice(OUTCOMES)}
        if self.chance(0.6):
            made["when"] = rng.choice(["offer == 'c0'", "placement == 'p0'", "channel != 'app'", "value > 1.0", "offer.startsWith('l')"])
        if kind in ("sum", "max", "min"):
            made["property"] = "value"
        if self.chance(0.5) and kind in ("count", "sum", "max", "min"):
            made["window"] = rng.choice(["1d", "7d"])
        return made

    # ---- rule sets

    def make_rule_sets(self):
        rng = self.rng
        names = ["cards", "loans", "wealth"][: rng.randint(1, 3)]
        sets = {name: {"rule_set": name} for name in names}
        self.places = {f"p{number}": {"channels": rng.sample(CHANNELS, rng.randint(1, 3))} for number in range(rng.randint(1, 4))}
        self.group_names = ["g1", "g2", "g3"]
        for name, rules in sets.items():
            self.experiments(name, rules)
            self.parameters(rules)
        for place, spec in self.places.items():
            if self.chance(0.6):
                spec["count"] = rng.randint(1, 4)
            if self.chance(self.theme.get("caps", 0) / 2):
                spec["caps"] = self.caps(["offer", "group", "rule_set", "placement", "channel", "all"])
            sets[rng.choice(names)].setdefault("placements", {})[place] = spec
        for group in ["g1", "g2"]:
            if self.chance(0.7):
                spec = {"max": rng.randint(1, 3)}
                if self.has("caps"):
                    spec["caps"] = self.caps(["offer", "group", "rule_set", "placement", "channel", "all"])
                sets[rng.choice(names)].setdefault("groups", {})[group] = spec
        if self.has("holdout"):
            rules = sets[rng.choice(names)]
            rules["holdout"] = {"percent": rng.choice([5, 12.5, 30]), "salt": f"h{rng.randint(1, 99)}"}
        guarded = sets[rng.choice(names)] if self.has("guardrails") else None
        for name, rules in sets.items():
            self.rules(name, rules, rules is guarded)
        for place, spec in self.places.items():
            if self.chance(0.6):
                self.fallback(place, spec, sets[rng.choice(names)])
        return sets

    def experiments(self, name, rules):
        rng, made = self.rng, {}
        for number in range(rng.choice([0, 1, 2]) if self.has("experiments") else 0):
            letter = "abc"[number]
            shares = rng.choice([[50, 50], [25, 25], [33.33, 33.33, 33.34], [10], [100], [0.5, 70]])
            spec = {"variants": {f"{letter}{index}": share for index, share in enumerate(shares)}}
            if self.chance(0.6):
                spec["salt"] = f"{name}.{number}-{rng.randint(1, 9)}"
            made[f"{name}_{letter}"] = spec
        if len(made) == 2 and self.chance(0.4):
            one, two = made.values()
            one["variants"], two["variants"] = {"a0": 20, "a1": 30.5}, {"b0": 25, "b1": 24}
            for spec in (one, two):
                spec.pop("salt", None)
                spec["exclusion"] = f"home_{name}"
            two["from"] = 50.5
        if made:
            rules["experiments"] = made

    def parameters(self, rules):
        rng, made = self.rng, {}
        variants = [f"{experiment}.{variant}" for experiment, spec in rules.get("experiments", {}).items() for variant in spec["variants"]]
        pools = {"rich": [100000, 500000], "cut": [0.5, 0.7, 1, 0.1], "link": ["long", "short"], "on": [True, False]}
        for name, pool in pools.items():
            if self.chance(0.4):
                made[name] = {"default": rng.choice(pool)}
                if variants and self.chance(0.6):
                    experiment = rng.choice(variants).split(".")[0]
                    for variant in variants:
                        if variant.split(".")[0] == experiment and self.chance(0.6):
                            made[name][variant] = rng.choice(pool)
        if made:
            rules["parameters"] = made

    def writer(self, rules, **more):
        return Writer(self.rng, self.schema, tags=rules.get("tags", {}), parameters=rules.get("parameters"),
                      moment=text_of(self.now - timedelta(hours=self.rng.randint(0, 800))), **more)

    def rules(self, name, rules, guarded):
        rng = self.rng
        for number in range(rng.randint(0, 3)):
            rules.setdefault("tags", {})[f"t{number}"] = self.writer(rules).bool(2)
        if guarded:
            rules["guardrails"] = {
                f"rail_{number}": "offer.product == 'service' || "
                + self.writer({}, offer=self.schema["offer_attributes"], guardrail=True).bool(2) for number in range(rng.randint(1, 3))}
        if self.chance(self.theme.get("caps", 0) / 2):
            rules["caps"] = {f"policy_{number}": cap for number, cap in enumerate(
                self.caps(["offer", "group", "rule_set", "placement", "channel", "all"]))}
        for number in range(rng.choice([0, 1, 2]) if self.has("budgets") else 0):
            budget = f"{name}_budget_{number}"
            rules.setdefault("budgets", {})[budget] = self.budget()
        rules["offers"] = {}
        for number in range(rng.randint(1, 7)):
            offer = f"{name[0]}{number}"
            rules["offers"][offer] = self.offer(rules)

    def offer(self, rules):
        rng = self.rng
        places = rng.sample(sorted(self.places), rng.randint(1, len(self.places)))
        variants = [f"{experiment}.{variant}" for experiment, spec in rules.get("experiments", {}).items() for variant in spec["variants"]]
        made = {"placements": places, "attributes": self.attributes()}
        writer = self.writer(rules, offer=made["attributes"])
        if self.has("when"):
            made["when"] = writer.computed() if self.has("features") else writer.bool(rng.randint(0, 3))
        if variants and self.chance(0.25):
            made["variant"] = rng.choice(variants)
        if self.has("schedule"):
            made["schedule"] = self.schedule()
        if self.chance(0.4):
            made["priority"] = rng.randint(1, 9)
        for field, constants in (("propensity", [0, 0.1, 0.25, 0.5, 1]), ("boost", [0, 0.5, 1.5, 2, 3])):
            if self.chance(0.6):
                made[field] = self.writer(rules).number(field) if self.chance(0.5) else rng.choice(constants)
        if self.chance(0.4):
            made["reason"] = self.reason()
        if self.has("caps"):
            made["caps"] = self.caps(["offer", "rule_set", "placement", "channel", "all"])
        if self.has("suppress"):
            made["suppress"] = {outcome: rng.choice(SPANS) for outcome in rng.sample(OUTCOMES[1:], rng.randint(1, 3))}
        if "budgets" in rules and self.chance(0.5):
            made["budgets"] = rng.sample(sorted(rules["budgets"]), rng.randint(1, len(rules["budgets"])))
        made["treatments"] = [one for place in places
                              for one in self.treatments(place, [] if "variant" in made else variants)]
        return made

    def attributes(self):
        rng, made = self.rng, {}
        pools = {"product": ["cards", "loans", "service"], "risk": TIERS, "min_age": [0, 18, 41], "perk": [True, False],
                 "fee": [0.7, 3, 0.1, 0.1234567890123], "label": TEXTS, "value": [0, 1, 20, 50, 99.5, 120], "group": self.group_names}
        for name, pool in pools.items():
            if self.chance(0.5):
                made[name] = rng.choice(pool)
        return made

    def reason(self):
        if self.chance(0.3):
            return "because"
        locales = self.rng.sample(["en", "zh", "zh-CN", "de", "default"], self.rng.randint(1, 4))
        return {locale: f"because in {locale}" for locale in locales}

    def treatments(self, place, variants):
        rng, keys = self.rng, set()
        keys.add((rng.choice([None, None, None, "en", "zh"]), None))
        for _ in range(rng.randint(0, 3)):
            keys.add((rng.choice(LOCALES), rng.choice(variants) if variants and self.chance(0.5) else None))
        made = []
        for locale, variant in sorted(keys, key=lambda key: (str(key[0]), str(key[1]))):
            one = {"placement": place, "content": {"title": f"{place} {locale} {variant}", "n": len(made)}}
            if locale:
                one["locale"] = locale
            if variant:
                one["variant"] = variant
            if self.chance(0.2):
                one["id"] = f"id-{place}.{len(made)}"
            made.append(one)
        rng.shuffle(made)
        return made

    def fallback(self, place, spec, rules):
        made = {"attributes": {"product": "service"}, "treatments": self.treatments(place, [])}
        if not any("locale" not in one for one in made["treatments"]):
            made["treatments"].append({"placement": place, "content": None or {"title": "last"}})
        if self.chance(0.4):
            made["reason"] = self.reason()
        if self.chance(0.3):
            made["placements"] = [place]
            if self.chance(0.3):
                made["priority"] = self.rng.randint(5, 9)
            if self.chance(0.3):
                made["suppress"] = {"dismiss": self.rng.choice(SPANS)}
            if self.chance(0.3):
                made["caps"] = self.caps(["offer", "channel"])
        name = f"f_{place}"
        rules["offers"][name] = made
        spec["fallback"] = name

    def caps(self, scopes):
        made = []
        for _ in range(self.rng.randint(1, 2)):
            cap = {"max": self.rng.choice([1, 1, 2, 3]), "per": self.rng.choice(SPANS)}
            if self.chance(0.5) and cap["per"].endswith("d"):
                cap["timezone"] = self.rng.choice(ZONES)
            if self.chance(0.4):
                cap["on"] = self.rng.choice(OUTCOMES)
            if self.chance(0.6):
                cap["scope"] = self.rng.choice(scopes)
            made.append(cap)
        return made

    def budget(self):
        rng = self.rng
        made = {"max": rng.choice([1, 2, 5, 20, 60]), "on": rng.choice(OUTCOMES)}
        if self.chance(0.3):
            made["customers"] = True
        if self.chance(0.4):
            made["per"] = "1d"
            if self.chance(0.5):
                made["timezone"] = rng.choice(ZONES)
        if made["on"] == "impression" and self.chance(0.4):
            made["hold"] = rng.choice(["1h", "30m"])
        return made

    def schedule(self):
        rng, made = self.rng, {}
        if self.chance(0.6):
            made["timezone"] = rng.choice(ZONES)
        day = lambda low, high: (self.now + timedelta(days=rng.randint(low, high))).strftime("%Y-%m-%d")
        if self.chance(0.4):
            made["from"] = day(-9, 1) if self.chance(0.6) else text_of(self.now - timedelta(minutes=rng.randint(-600, 9000)))
        if self.chance(0.4):
            made["until"] = day(1, 9) if self.chance(0.6) else text_of(self.now + timedelta(minutes=rng.randint(1000, 9000)))
            if self.chance(0.3) and "from" not in made:
                made["until"] = day(-1, 0)
        if self.chance(0.5):
            hour = lambda: f"{rng.randint(0, 23):02}:{rng.choice(['00', '30', '17'])}"
            ranges = []
            while len(ranges) < rng.choice([1, 1, 2]):
                begin, end = hour(), rng.choice([hour(), "24:00"])
                if begin != end:
                    ranges.append(f"{begin}-{end}")
            made["hours"] = ranges if len(ranges) > 1 or self.chance(0.3) else ranges[0]
        if self.chance(0.4) or not set(made) - {"timezone"}:
            made["days"] = rng.sample(["mon", "tue", "wed", "thu", "fri", "sat", "sun"], rng.randint(1, 6))
        return made

    # ---- customers, histories, requests

    def customer(self):
        rng, now = self.rng, self.now
        pools = {
            "age": [0, 17, 18, 30, 41, 65, 120], "n": [-7, 0, 1, 3, 1000], "big": [0, 41, 2**62, -(2**62)], "vip": [True, False],
            "consent": [True, False], "aum": [0, 100000, 500000.5, 499999.99, -0.01, 1000000], "score": [0.7, 0.1, 0.1234567890123, 0.5, 0, 1, -0.3, 2.5],
            "exact": [0.7, 0.1, 0.1234567890123, 0.25, 1, 1e6, -0.3], "tier": TIERS, "peer": TIERS, "mood": ["calm", "angry", "happy"],
            "likes": [[], ["alpha"], ["beta", "gamma"], WORDS],
            "since": [text_of(now - timedelta(seconds=rng.randint(0, 40_000_000))), "2026-11-20"],
        }
        return {name: rng.choice(pool) for name, pool in pools.items() if self.chance(0.75)}

    def ago(self):
        """How long ago something happened, in seconds; often at the edge of a window."""
        rng, now = self.rng, int(self.now.timestamp())
        if self.chance(0.5):
            edge = rng.choice(self.edges())(now)
            return min(max(0, edge + rng.choice([-1, 0, 1] if self.golden else [-90, 90])), 395 * 86400)
        return int(rng.expovariate(1) * rng.choice([3600, 86400, 20 * 86400])) % (390 * 86400)

    def edges(self):
        """How long ago the windows of this bundle begin."""
        made = [lambda now, span=span: times.span(span) for span in SPANS[:-1] * 3]
        for feature in self.schema["features"].values():
            if "window" in feature and feature["kind"] not in ("last",) and "per" not in feature:
                width = -(-times.span(feature["window"]) // feature.get("buckets", 8))
                made.append(lambda now, width=width, feature=feature: now % width + width * feature.get("buckets", 8))
        for days in (0, 1, 2, 6, 7, 8, 29, 30):
            for zone in (self.schema["timezone"], *ZONES[:3]):
                made.append(lambda now, days=days, zone=zone: since_midnight(now, days, zone))
        return made

    def at(self):
        return text_of(self.now - timedelta(seconds=self.ago()))

    def event(self):
        rng = self.rng
        if self.golden and self.chance(0.2):
            contact = self.contact()
            properties = {key: contact[key] for key in ("offer", "placement", "channel") if self.chance(0.9)}
            return {"type": contact["outcome"], "at": contact["at"], "properties": {**properties, **contact.get("properties", {})}}
        if self.chance(0.5):
            pools = {"page": PAGES, "word": TEXTS, "seconds": [0, 3, 5, 60], "ok": [True, False]}
            kind = "view"
        else:
            pools = {"amount": [0, 0.01, 12.5, 100, 999.99, -5], "rate": [0.1, 0.7, 0.5, 0.1234567890123]}
            kind = "pay"
        return {"type": kind, "at": self.at(), "properties": {k: rng.choice(pool) for k, pool in pools.items() if self.chance(0.8)}}

    def all_offers(self):
        return {name: spec for rules in self.rule_sets.values() for name, spec in rules["offers"].items()}

    def contact(self):
        rng = self.rng
        offer, spec = rng.choice(list(self.all_offers().items()))
        place = rng.choice(spec["treatments"])["placement"]
        made = {"offer": offer, "placement": place, "channel": rng.choice(self.places[place]["channels"]),
                "outcome": rng.choice(OUTCOMES + ["impression"]), "at": self.at()}
        if not self.golden and self.chance(0.3):
            made["properties"] = {"value": rng.choice([0, 1.5, 1000, -2])}
        return made

    def request(self):
        rng = self.rng
        channel = rng.choice([channel for spec in self.places.values() for channel in spec["channels"]])
        fit = [place for place, spec in self.places.items() if channel in spec["channels"]]
        asked = []
        for place in rng.sample(fit, rng.randint(1, len(fit))):
            asked.append({"id": place, **({"count": rng.randint(1, 6)} if self.chance(0.4) else {})})
        made = {"channel": channel, "placements": asked}
        if self.chance(0.7):
            made["locale"] = rng.choice(ASKED)
            if self.chance(0.2):
                made["locale"] = [rng.choice(ASKED) for _ in range(rng.randint(1, 4))]
        pools = {"page": PAGES, "intent": TEXTS, "amount": [0.7, 0.1, 3, 0.1234567890123], "items": [0, 1, 41, 99], "abroad": [True, False]}
        context = {name: rng.choice(pool) for name, pool in pools.items() if self.chance(0.6)}
        if context:
            made["context"] = context
        return made

    def edge_of_schedule(self):
        """A moment at which a schedule of this bundle opens or closes, or not far from one."""
        schedules = [spec["schedule"] for spec in self.all_offers().values() if "schedule" in spec]
        if not schedules:
            return self.now
        schedule = self.rng.choice(schedules)
        zone, hours = schedule.get("timezone", "UTC"), schedule.get("hours", "00:00-24:00")
        clock = self.rng.choice((self.rng.choice(hours) if isinstance(hours, list) else hours).split("-"))
        day = times.local(int(self.now.timestamp()) * 10**9, zone).date() + timedelta(days=self.rng.randint(-3, 3))
        minutes = int(clock[:2]) * 60 + int(clock[3:])
        start = times.start_of_day(day, zone) // 10**9 + minutes * 60 + self.rng.choice([-1, 0, 1])
        return datetime.fromtimestamp(start, timezone.utc)

    def case(self, name):
        rng = self.rng
        if self.golden:
            self.now = self.edge_of_schedule() if self.chance(0.5) else self.now
        made = {"name": name, "now": text_of(self.now), "customer": self.customer() if self.chance(0.9) else None,
                "request": self.request()}
        if self.chance(0.6):
            made["events"] = [self.event() for _ in range(rng.randint(1, 12))]
        if self.chance(0.6):
            many = 300 if self.chance(0.05) and not self.golden else 12
            made["contacts"] = [self.contact() for _ in range(rng.randint(1, many))]
        return made

    # ---- stories

    def steps(self, name, number):
        """Steps of a story: all customers first, then what they do, and decisions."""
        rng = self.rng
        cases = [self.case(f"{name}-{index}") for index in range(number)]
        made = [{"load": cases}]
        for case in cases:
            for _ in range(rng.choice([1, 1, 2, 3])):
                request = case["request"] if self.chance(0.7) else self.request()
                step = {"decide": case["name"], "request": request, "tell": self.outcomes()}
                if self.chance(0.1) and not any("count" in place for place in request["placements"]):
                    step["by_query"] = True
                made.append(step)
                if self.chance(0.15):
                    made.append(self.change(case["name"]))
                if self.chance(0.04):
                    made.append(self.publish())
        return made

    def publish(self):
        """A new version of a rule set, in which offers are gone or otherwise."""
        rng = self.rng
        name = rng.choice(sorted(self.rule_sets))
        rules = json.loads(json.dumps(self.rule_sets[name]))
        fallbacks = {spec.get("fallback") for spec in self.places.values()}
        for offer in [offer for offer in rules["offers"] if offer not in fallbacks]:
            if self.chance(0.3) and len(rules["offers"]) > 1:
                del rules["offers"][offer]
            elif self.chance(0.5):
                rules["offers"][offer].update({"priority": rng.randint(1, 9), "boost": rng.choice([1, 2])})
                rules["offers"][offer]["attributes"]["group"] = rng.choice(self.group_names)
        if self.chance(0.3):
            rules.pop("guardrails", None)
        return {"publish": name, "rules": rules}

    def outcomes(self):
        """What becomes of what is shown: place, rank, outcome. Some are sent twice."""
        rng = self.rng
        made = [[rng.randint(0, 2), rng.randint(0, 2), rng.choice(OUTCOMES + ["impression", "impression"])]
                for _ in range(rng.choice([0, 1, 2, 4]))]
        return made + rng.sample(made, min(len(made), rng.choice([0, 0, 1])))

    def change(self, name):
        features = self.customer()
        what = self.rng.choice(["patch", "put", "delete"])
        if what == "delete":
            return {"delete": name}
        if what == "patch":
            features = {name: None if self.chance(0.2) else value for name, value in features.items()}
        return {what: name, "features": features}
