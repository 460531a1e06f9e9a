"""Budgets: what all customers share (docs/reference/rule-sets.md, Budgets)."""

import times
from values import SECOND


class Budgets:
    def __init__(self, bundle):
        self.bundle = bundle
        self.used = {}  # (budget, day) to a number, or to a set of customers
        self.held = {}  # (budget, day) to the places that decisions hold: [(until, customer, token)]

    def of(self, offer):
        spec, owner = self.bundle.offers.get(offer, ({}, None))
        for name in spec.get("budgets") or []:
            yield (owner, name), self.bundle.rule_sets[owner]["budgets"][name]

    def key(self, name, spec, at):
        return name, times.day_number(at, spec.get("timezone", "UTC")) if spec.get("per") == "1d" else None

    def waiting(self, key, now):
        return [place for place in self.held.get(key, []) if place[0] > now]

    def open_for(self, offer, customer, now):
        return all(self.left(name, spec, customer, now) for name, spec in self.of(offer))

    def left(self, name, spec, customer, now):
        key = self.key(name, spec, now)
        waiting = self.waiting(key, now)
        if spec.get("customers"):
            inside = self.used.get(key, set()) | {place[1] for place in waiting}
            return customer in inside or len(inside) < spec["max"]
        return self.used.get(key, 0) + len(waiting) < spec["max"]

    def hold(self, offer, customer, now):
        """A decision that shows an offer holds a place, until its impression comes or the time is over."""
        for name, spec in self.of(offer):
            if spec["on"] == "impression":
                key = self.key(name, spec, now)
                if spec.get("customers") and customer in self.used.get(key, set()):
                    continue  # they have a place, and need to hold none
                until = now + times.span(spec.get("hold", "10m")) * SECOND
                self.held.setdefault(key, []).append((until, customer, offer))

    def forget(self, customer):
        """An erased customer is forgotten. Their places stay used, by nobody."""
        for inside in self.used.values():
            if isinstance(inside, set) and customer in inside:
                inside.remove(customer)
                inside.add(object())

    def happened(self, offer, outcome, customer, at, now):
        """Counts an outcome, and says whether it was beyond a budget. Beyond one it counts in none."""
        counting = [(self.key(name, spec, at), spec) for name, spec in self.of(offer) if spec["on"] == outcome]
        over = any(self.is_late(name, spec, at, now) for name, spec in self.of(offer) if spec["on"] == outcome)
        over = over or any(not self.room(key, spec, customer) for key, spec in counting)
        for key, spec in counting:
            self.give_back(key, spec, offer, customer)
            if over:
                continue
            if spec.get("customers"):
                self.used.setdefault(key, set()).add(customer)
            else:
                self.used[key] = self.used.get(key, 0) + 1
        return over

    def is_late(self, name, spec, at, now):
        """Whether the day that an outcome counts on is over for so long that it takes nothing any more."""
        return spec.get("per") == "1d" and self.key(name, spec, at)[1] < self.key(name, spec, now)[1] - 1

    def give_back(self, key, spec, offer, customer):
        """A place that was held is used now. In a budget of customers they hold one, whatever it was held for."""
        held = self.held.get(key, [])
        mine = [place for place in held if place[1] == customer and (spec.get("customers") or place[2] == offer)]
        for place in mine if spec.get("customers") else mine[:1]:
            held.remove(place)

    def room(self, key, spec, customer):
        if spec.get("customers"):
            inside = self.used.get(key, set())
            return customer in inside or len(inside) < spec["max"]
        return self.used.get(key, 0) < spec["max"]
