"""Compares the program with the second decider on random cases, and on the golden decisions of the examples.

    python3 main.py --usher target/debug/usher --cases 400 --models models

Each seed makes a bundle and decides half of its cases by `usher check`, at any time, and half over HTTP, now. Where
the two disagree, the case is made smaller and printed with its seed; `--seed N --bundles 1` decides it again.
"""

import argparse
import json
import multiprocessing
import random
import sys
import tempfile
from datetime import datetime, timedelta, timezone
from pathlib import Path

from bundle import Bundle
from generate import Generator
from golden import came_out, checked, of_people
from server import Refused, Server, differences
from shrink import shrunk

CASES_OF_A_BUNDLE = 100  # half by `usher check`, half over HTTP


def write(folder, schema, rule_sets):
    """Writes a bundle. JSON is YAML, so both sides read the same bytes."""
    (folder / "rule-sets").mkdir(exist_ok=True)
    for name, document in [("schema", schema), *((f"rule-sets/{name}", rules) for name, rules in rule_sets.items())]:
        (folder / f"{name}.yaml").write_text(json.dumps(document, ensure_ascii=False, indent=1), encoding="utf-8")
    return Bundle.load(folder)


def by_check(program, case):
    """What `usher check` and the second decider disagree on, for a case with its own bundle."""
    with tempfile.TemporaryDirectory() as folder:
        bundle = write(Path(folder), case["schema"], case["rule_sets"])
        one = {**case["case"], "expect": came_out(case["case"], bundle)}
        return [problem["detail"] for problem in checked(program, folder, [one])
                if problem["detail"].startswith(f"{one['name']}: expected ")]


def over_http(program, case):
    """What the server and the second decider disagree on, for a case with its own bundle."""
    with tempfile.TemporaryDirectory() as folder:
        bundle = write(Path(folder), case["schema"], case["rule_sets"])
        with Server(program, folder) as server:
            [customer] = server.load([case["case"]])
            return differences(*server.decide(bundle, customer, case["case"]["request"])[:2])


def golden_seed(program, seed, number):
    rng = random.Random(f"check {seed}")
    now = datetime(2026, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=rng.randint(0, 500 * 86400))
    made = Generator(rng, now, golden=True)
    with tempfile.TemporaryDirectory() as folder:
        bundle = write(Path(folder), made.schema, made.rule_sets)
        cases = [made.case(f"g-{seed}-{index}") for index in range(number)]
        for case in cases:
            case["expect"] = came_out(case, bundle)
        problems = checked(program, folder, cases)
    if not problems:
        return []
    named = [case for case in cases if any(case["name"] + ":" in problem["detail"] for problem in problems)]
    whole = {"schema": made.schema, "rule_sets": made.rule_sets, "case": named[0] if named else None}
    return [report(program, seed, by_check, whole, [problem["detail"] for problem in problems])]


def http_seed(program, seed, number):
    rng = random.Random(f"http {seed}")
    made = Generator(rng, datetime.now(timezone.utc).replace(microsecond=0), golden=False)
    cases = [made.case(f"h-{seed}-{index}") for index in range(number)]
    with tempfile.TemporaryDirectory() as folder:
        bundle = write(Path(folder), made.schema, made.rule_sets)
        with Server(program, folder) as server:
            for case, customer in zip(cases, server.load(cases)):
                for _ in range(rng.choice([1, 1, 2, 3])):
                    answer, second, tokens = server.decide(bundle, customer, case["request"])
                    if answer != second:
                        whole = {"schema": made.schema, "rule_sets": made.rule_sets, "case": case}
                        return [report(program, seed, over_http, whole, differences(answer, second))]
                    outcomes = [(*key, rng.choice(OUTCOMES), token) for key, token in tokens.items() if rng.random() < 0.6]
                    if outcomes:
                        server.tell(customer, case["request"]["channel"], outcomes)
    return []


OUTCOMES = ["impression", "impression", "impression", "click", "dismiss", "convert"]


def report(program, seed, route, whole, lines):
    """A disagreement for people: the seed, what differs, and the case, as small as it gets."""
    text = [f"seed {seed}, {route.__name__}: the program and the second decider disagree", *lines[:5]]
    try:
        if whole["case"] and route(program, whole):
            whole = shrunk(whole, lambda smaller: bool(route(program, smaller)))
            text += ["the same, made smaller:", *route(program, whole)]
        else:
            text += ["it does not disagree in a bundle of its own: earlier decisions matter"]
    except Refused as refused:
        text += [str(refused)]
    return "\n  ".join([*text, json.dumps(whole, ensure_ascii=False)])


def one_seed(arguments):
    program, seed, number, route = arguments
    try:
        return route(program, seed, number)
    except Refused as refused:
        return [f"seed {seed}: {refused}"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--usher", required=True)
    parser.add_argument("--cases", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--models", type=Path)
    asked = parser.parse_args()
    wrong, golden = [], 0
    for folder in sorted(asked.models.iterdir()) if asked.models else []:
        if (folder / "golden.yaml").exists():
            number, failing = of_people(folder)
            golden += number
            wrong += failing
    half = min(CASES_OF_A_BUNDLE // 2, asked.cases)
    bundles = max(1, asked.cases // CASES_OF_A_BUNDLE)
    jobs = [(asked.usher, asked.seed + index, half, route) for index in range(bundles) for route in (golden_seed, http_seed)]
    with multiprocessing.Pool(2) as pool:
        for failing in pool.imap_unordered(one_seed, jobs):
            wrong += failing
    print(f"{golden} golden decisions, and {len(jobs) * half} random cases in {len(jobs)} bundles, seeds {asked.seed} to "
          f"{asked.seed + bundles - 1}: {len(wrong)} disagreements")
    for text in wrong[:10]:
        print(text)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
