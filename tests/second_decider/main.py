"""Compares the program with the second decider on random cases, and on the golden decisions of the examples.

    python3 main.py --usher target/debug/usher --cases 400 --models models

Each seed decides a third of its cases by `usher check`, at any time, and a third over HTTP, now, each with a bundle of
its own. A third are expressions for `usher eval`. Where the two disagree, the case is made smaller and printed with its
seed. `--seed N --cases 1` decides it again.
"""

import argparse
import json
import multiprocessing
import random
import sys
import tempfile
from datetime import datetime, timedelta, timezone
from pathlib import Path

from generate import Generator
from golden import came_out, checked, of_people
from server import Refused
from shrink import shrunk
from story import disagreement, write
from terms import differing

CASES_OF_A_SEED = 75


def by_check(program, case):
    """What `usher check` and the second decider disagree on, for a case with its own bundle."""
    with tempfile.TemporaryDirectory() as folder:
        bundle = write(Path(folder), case["schema"], case["rule_sets"])
        one = {**case["case"], "expect": came_out(case["case"], bundle)}
        return [problem["detail"] for problem in checked(program, folder, [one])
                if problem["detail"].startswith(f"{one['name']}: expected ")]


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
    lines = [problem["detail"] for problem in problems]
    named = [case for case in cases if any(line.startswith(case["name"] + ":") for line in lines)]
    if not named:
        return [f"seed {seed}: usher check refuses the bundle: {lines}"]
    whole = {"schema": made.schema, "rule_sets": made.rule_sets, "case": named[0]}
    return [report(seed, by_check, program, whole, lines)]


def http_seed(program, seed, number):
    rng = random.Random(f"http {seed}")
    made = Generator(rng, datetime.now(timezone.utc).replace(microsecond=0), golden=False)
    story = {"schema": made.schema, "rule_sets": made.rule_sets, "steps": made.steps(f"h-{seed}", number)}
    found = disagreement(program, story)
    if not found:
        return []
    step, lines = found
    story["steps"] = story["steps"][: step + 1]
    return [report(seed, over_http, program, story, lines)]


def over_http(program, story):
    found = disagreement(program, story)
    return found[1] if found else []


def report(seed, route, program, case, lines):
    """A disagreement for people: the seed, what differs, and the case, as small as it gets."""
    smaller = shrunk(case, lambda smaller: bool(route(program, smaller)))
    again = "\n  ".join(route(program, smaller))
    first = "\n  ".join(lines[:5])
    case = "\n  ".join(f"{key}: {json.dumps(part, ensure_ascii=False)}" for key, part in smaller.items())
    return (f"seed {seed}, {route.__name__}: the program and the second decider disagree\n  {first}\n"
            f"the same, made smaller:\n  {again}\n  {case}")


def terms_seed(program, seed, number):
    wrong = differing(program, random.Random(f"terms {seed}"), number)
    return [f"seed {seed}: {question}: usher eval says {said}, the second decider {second}" for question, said, second in wrong]


def one_seed(arguments):
    program, seed, number, route = arguments
    try:
        return route(program, seed, number)
    except Refused as refused:
        return [f"seed {seed}: {refused}"]


ROUTES = (golden_seed, http_seed, terms_seed)


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
    number = CASES_OF_A_SEED // len(ROUTES)
    seeds = max(1, asked.cases // CASES_OF_A_SEED)
    jobs = [(asked.usher, asked.seed + index, number, route) for index in range(seeds) for route in ROUTES]
    with multiprocessing.Pool(2) as pool:
        for failing in pool.imap_unordered(one_seed, jobs):
            wrong += failing
    print(f"{golden} golden decisions, and {len(jobs) * number} random cases, seeds {asked.seed} to "
          f"{asked.seed + seeds - 1}: {len(wrong)} disagreements")
    for text in wrong[:10]:
        print(text)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
