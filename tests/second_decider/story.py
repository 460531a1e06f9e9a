"""A story: a bundle, and steps that are told to a server and to the second decider, one after the other.

A step is a map with one of these: `load` (cases: customers with their history), `decide` (a customer and a
request; `tell` says what becomes of what is shown), `patch`, `put`, `delete` (a customer), `publish` (a rule
set: a new version, or its end).
"""

import copy
import json
import tempfile
import time
from pathlib import Path

import times
from budgets import Budgets
from bundle import Bundle
from decider import Customer, Decision
from server import Refused, Server


def write(folder, schema, rule_sets):
    """Writes a bundle. JSON is YAML, so both sides read the same bytes."""
    (folder / "rule-sets").mkdir(exist_ok=True)
    for name, document in [("schema", schema), *((f"rule-sets/{name}", rules) for name, rules in rule_sets.items())]:
        (folder / f"{name}.yaml").write_text(json.dumps(document, ensure_ascii=False, indent=1), encoding="utf-8")
    return Bundle.load(folder)


class Story:
    def __init__(self, server, bundle, story):
        self.server, self.bundle = server, bundle
        self.schema, self.rule_sets = story["schema"], dict(story["rule_sets"])
        self.budgets, self.customers = Budgets(bundle), {}
        self.versions = {name: 1 for name in bundle.rule_sets}
        self.tokens = set()

    def step(self, step):
        """Takes a step. Returns what the two disagree on."""
        for name in ("load", "decide", "patch", "put", "delete", "publish"):
            if name in step:
                return getattr(self, name)(step) or []
        raise ValueError(step)

    def customer(self, id):
        return self.customers.setdefault(id, Customer(id))

    def load(self, step):
        events, outcomes, rows = [], [], []
        for case in step["load"]:
            customer = self.customer(case["name"])
            if case["customer"] is not None:
                customer.features = dict(case["customer"])
                rows.append(json.dumps({"customer": customer.id, **case["customer"]}))
            for event in case.get("events") or []:
                customer.happened(event["type"], times.moment(event["at"]), event.get("properties") or {})
                events.append({"customer": customer.id, **event})
            for contact in case.get("contacts") or []:
                outcomes.append((customer, contact))
        if rows:
            answer = self.server.call("POST", "/v1/customers", "\n".join(rows), "application/x-ndjson")
            if answer["rejected"]:
                raise Refused(f"rejected: {answer} of {rows}")
        if events:
            self.server.events(events)
        told = [{"customer": customer.id, "type": contact["outcome"],
                 **{key: value for key, value in contact.items() if key != "outcome"}} for customer, contact in outcomes]
        over = self.server.events(told) if told else []
        second = [index for index, (customer, contact) in enumerate(outcomes)
                  if self.met(customer, contact, times.moment(contact["at"]))]
        return differences(over, second, "/over_budget")

    def met(self, customer, contact, at):
        customer.met(contact, at)
        return self.budgets.happened(contact["offer"], contact["outcome"], customer.id, at, time.time_ns())

    def decide(self, step):
        customer, request = self.customer(step["decide"]), step["request"]
        before = time.time_ns()
        answer = self.server.decide(customer.id, request, step.get("by_query"))
        after = time.time_ns()
        answer.pop("decision_id")
        tokens = [[shown.pop("token") for shown in place["propositions"]] for place in answer["placements"]]
        budgets = copy.deepcopy(self.budgets.held)
        second = self.decided(customer, request, before)
        if second != answer:  # a window or a schedule may have ended meanwhile
            self.budgets.held = budgets
            second = self.decided(customer, request, after)
        return differences(answer, second) or self.tell(step, customer, answer, tokens)

    def decided(self, customer, request, now):
        decision = Decision(self.bundle, customer, request, now, self.budgets)
        answer = {"customer": customer.id, "known": customer.known(), "rule_sets": self.versions, "degraded": False,
                  "placements": decision.placements()}
        return {**answer, "holdout": True} if self.bundle.held_out(customer.id) else answer

    def tell(self, step, customer, answer, tokens):
        """Sends outcomes with their tokens. Of one token each outcome counts once."""
        events, contacts = [], []
        for place, rank, outcome in step.get("tell") or []:
            if place < len(tokens) and rank < len(tokens[place]):
                token, asked = tokens[place][rank], answer["placements"][place]
                events.append({"type": outcome, "customer": customer.id, "token": token})
                contacts.append({"offer": asked["propositions"][rank]["offer"], "placement": asked["id"],
                                 "channel": step["request"]["channel"], "outcome": outcome, "token": token})
        if not events:
            return []
        over, second = self.server.events(events), []
        for index, contact in enumerate(contacts):
            once = contact.pop("token"), contact["outcome"]
            if once not in self.tokens:
                self.tokens.add(once)
                if self.met(customer, contact, time.time_ns()):
                    second.append(index)
        return differences(over, second, "/over_budget")

    def patch(self, step):
        customer = self.customer(step["patch"])
        self.server.call("PATCH", f"/v1/customers/{customer.id}", step["features"])
        known = {**(customer.features or {}), **step["features"]}
        customer.features = {name: value for name, value in known.items() if value is not None}

    def put(self, step):
        customer = self.customer(step["put"])
        self.server.call("PUT", f"/v1/customers/{customer.id}", step["features"])
        customer.features = dict(step["features"])

    def publish(self, step):
        """A new version of one rule set, or its end."""
        name, rules = step["publish"], step.get("rules")
        if rules is None:
            self.server.call("DELETE", f"/v1/rule-sets/{name}")
            self.rule_sets.pop(name)
            self.versions.pop(name)
        else:
            text = json.dumps(rules, ensure_ascii=False)
            self.versions[name] = self.server.call("PUT", f"/v1/rule-sets/{name}", text, "application/yaml")["version"]
            self.rule_sets[name] = rules
        self.bundle = self.budgets.bundle = Bundle(self.schema, list(self.rule_sets.values()), self.bundle)

    def delete(self, step):
        if self.customer(step["delete"]).known():
            self.server.call("DELETE", f"/v1/customers/{step['delete']}")
        self.customers[step["delete"]] = Customer(step["delete"])
        self.budgets.forget(step["delete"])


def disagreement(program, story):
    """The first step on which the two disagree, and how; or None."""
    with tempfile.TemporaryDirectory() as folder:
        bundle = write(Path(folder), story["schema"], story["rule_sets"])
        with Server(program, folder) as server:
            told = Story(server, bundle, story)
            for number, step in enumerate(story["steps"]):
                if lines := told.step(step):
                    return number, lines
    return None


def differences(server, second, at=""):
    """Where two answers differ, a line each."""
    if isinstance(server, dict) and isinstance(second, dict):
        keys = {**server, **second}
        return [line for key in keys for line in differences(server.get(key), second.get(key), f"{at}/{key}")]
    if isinstance(server, list) and isinstance(second, list) and len(server) == len(second):
        return [line for key, pair in enumerate(zip(server, second)) for line in differences(*pair, f"{at}/{key}")]
    return [] if server == second else [f"{at}: the server says {server!r}, the second decider {second!r}"]
