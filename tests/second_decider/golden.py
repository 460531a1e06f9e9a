"""Golden decisions: cases that say at what time they are decided. `usher check` decides the same."""

import json
import subprocess
from pathlib import Path

import times
from bundle import Bundle, read
from decider import Customer, Decision


def customer_of(case, zone):
    """The customer of a case. What they were shown and did is a contact, and an event for computed features."""
    customer = Customer(case.get("id", case["name"]), case["customer"])
    for event in case.get("events") or []:
        customer.happened(event["type"], times.moment(event["at"], zone), event.get("properties") or {})
    customer.contacts = [{**contact, "at": times.moment(contact["at"], zone)} for contact in case.get("contacts") or []]
    return customer


def came_out(case, bundle):
    """What comes out, in the form of `expect`."""
    customer = customer_of(case, bundle.schema.zone)
    decision = Decision(bundle, customer, case["request"], times.moment(case["now"], bundle.schema.zone))
    found = {}
    for place in decision.placements():
        offers = [one["offer"] for one in place["propositions"]]
        what = {"fallback": offers[0]} if place["fallback"] else {"offers": offers}
        found[place["id"]] = {**what, "treatments": [one["treatment"] for one in place["propositions"]]}
    return found


def of_people(folder):
    """Compares with the golden decisions that people wrote: how many there are, and what comes out otherwise."""
    bundle, wrong = Bundle.load(folder), []
    cases = read(Path(folder) / "golden.yaml")
    for case in cases:
        found = came_out(case, bundle)
        for place, wanted in case["expect"].items():
            if any(found[place].get(key) != value for key, value in wanted.items()):
                wrong.append(f"{folder}: {case['name']}: {place}: expected {wanted}, the second decider says {found[place]}")
    return len(cases), wrong


def checked(program, folder, cases):
    """Has `usher check` decide these cases, and returns its problems."""
    (Path(folder) / "golden.yaml").write_text(json.dumps(cases, ensure_ascii=False, indent=1), encoding="utf-8")
    run = subprocess.run([program, "check", str(folder), "--json"], capture_output=True, text=True, env={})
    found = json.loads(run.stdout)
    return [] if found["right"] else found["problems"]
