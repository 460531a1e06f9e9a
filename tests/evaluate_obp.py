"""Prints obp's own estimates on its Open Bandit sample as one JSON document: IPW, self-normalised IPW, doubly robust.

    python3 evaluate_obp.py UNPACKED_WHEEL

Needs numpy. Of obp only its estimators are loaded; the libraries that it imports beside them (torch for tensors, pandas,
scikit-learn for bootstraps) are not used by what is called here and are replaced by empty modules where they are missing.
The test of `usher evaluate` that reads the figures (evaluate_obp.rs) says what the policies and the reward model are.
"""

import csv
import importlib
import json
import sys
import types
from pathlib import Path

import numpy as np

ITEMS, POSITIONS = 80, 3


def estimators(wheel):
    """The module obp.ope.estimators, without obp's own __init__ files, which import far more."""
    for name, attributes in {
        "torch": {"Tensor": type("Tensor", (), {})},
        "pandas": {"DataFrame": object},
        "sklearn": {},
        "sklearn.utils": {"check_random_state": None},
    }.items():
        try:
            importlib.import_module(name)
        except ImportError:
            sys.modules[name] = types.ModuleType(name)
            vars(sys.modules[name]).update(attributes)
    for name in ["obp", "obp.ope"]:
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__path__ = [str(wheel / name.replace(".", "/"))]
    return importlib.import_module("obp.ope.estimators")


def log_of(wheel, policy):
    with open(wheel / f"obp/dataset/obd/{policy}/all/all.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    column = lambda name, kind: np.array([kind(row[name]) for row in rows])
    return {
        "action": column("item_id", int),
        "position": column("position", int) - 1,
        "reward": column("click", float),
        "pscore": column("propensity_score", float),
    }


def table(log, values):
    """Sums of values by item and position."""
    sums = np.zeros((ITEMS, POSITIONS))
    np.add.at(sums, (log["action"], log["position"]), values)
    return sums


def main(wheel):
    ope = estimators(wheel)
    logs = {policy: log_of(wheel, policy) for policy in ["random", "bts"]}
    ones = table(logs["bts"], 1.0)
    policies = {"bts": ones / ones.sum(axis=0), "uniform": np.full((ITEMS, POSITIONS), 1 / ITEMS)}
    figures = {}
    for logged, target in [("random", "bts"), ("random", "uniform"), ("bts", "uniform")]:
        log = logs[logged]
        rounds = len(log["reward"])
        model = table(log, log["reward"]) / np.maximum(table(log, 1.0), 1.0)
        everywhere = lambda values: np.broadcast_to(values, (rounds, ITEMS, POSITIONS))
        given = dict(log, action_dist=everywhere(policies[target]))
        figures[f"{target} on {logged}"] = {
            "ips": ope.InverseProbabilityWeighting().estimate_policy_value(**given),
            "snips": ope.SelfNormalizedInverseProbabilityWeighting().estimate_policy_value(**given),
            "dr": ope.DoublyRobust().estimate_policy_value(
                **given, estimated_rewards_by_reg_model=everywhere(model)
            ),
        }
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
