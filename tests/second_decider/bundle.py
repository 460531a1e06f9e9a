"""A bundle as it is written: the schema and the rule sets, without any compilation."""

import hashlib
from pathlib import Path

import yaml

from schema import Schema


class Core(yaml.CSafeLoader if hasattr(yaml, "CSafeLoader") else yaml.SafeLoader):
    """YAML 1.2's core schema: `on`, `yes` and days are texts."""


Core.yaml_implicit_resolvers = {}
for tag, pattern, first in (
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("int", r"^[-+]?[0-9]+$", "-+0123456789"),
    ("float", r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$", "-+.0123456789"),
):
    Core.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", __import__("re").compile(pattern), list(first))
Core.add_constructor("tag:yaml.org,2002:int", lambda loader, node: int(loader.construct_scalar(node)))
Core.add_constructor("tag:yaml.org,2002:float", lambda loader, node: float(loader.construct_scalar(node)))


def read(path):
    return yaml.load(Path(path).read_text(encoding="utf-8"), Core)


class Bundle:
    def __init__(self, schema, rule_sets, before=None):
        """`before` is the bundle that decided until now: offers that are gone count where they were last."""
        self.schema = Schema(schema)
        self.rule_sets = {rule_set["rule_set"]: rule_set for rule_set in rule_sets}
        self.placements, self.offers, self.groups, self.experiments = {}, {}, {}, {}
        self.guardrails, self.caps, self.holdout = [], [], None
        for name, rule_set in self.rule_sets.items():
            self.placements.update(rule_set.get("placements") or {})
            self.groups.update(rule_set.get("groups") or {})
            for offer, spec in (rule_set.get("offers") or {}).items():
                self.offers[offer] = (spec, name)
            guardrails = rule_set.get("guardrails") or {}
            self.guardrails += [(text, name) for text in guardrails.values()]
            self.caps += [(cap, name, bool(guardrails)) for cap in (rule_set.get("caps") or {}).values()]
            self.holdout = rule_set.get("holdout") or self.holdout
        self.ever = {**before.ever, **self.offers} if before else self.offers

    @staticmethod
    def load(folder):
        folder = Path(folder)
        return Bundle(read(folder / "schema.yaml"), [read(file) for file in sorted(folder.glob("rule-sets/*.yaml"))])

    def rule_set_of(self, offer):
        return self.ever[offer][1]

    def group_of(self, offer):
        return self.attributes(offer).get("group")

    def attributes(self, offer):
        return self.ever[offer][0].get("attributes") or {}

    def counts(self, offer):
        """Contacts of an offer without placements count for no cap."""
        return bool(self.ever[offer][0].get("placements"))

    def held_out(self, customer):
        return bool(self.holdout) and slot(self.holdout["salt"], customer) < round(self.holdout["percent"] * 100)

    def variants(self, customer):
        """Experiment to variant, as far as the customer is in one."""
        found = {}
        if self.held_out(customer):
            return found
        for rule_set in self.rule_sets.values():
            for name, experiment in (rule_set.get("experiments") or {}).items():
                drawn = slot(experiment.get("exclusion", experiment.get("salt", name)), customer)
                end = round(experiment.get("from", 0) * 100)
                for variant, share in experiment["variants"].items():
                    begin, end = end, end + round(share * 100)
                    if begin <= drawn < end:
                        found[name] = variant
        return found


def slot(salt, customer):
    return int(hashlib.sha256(f"{salt}:{customer}".encode()).hexdigest()[:8], 16) % 10000
