#!/usr/bin/env python3
"""Counts the same audiences with Usher and with DuckDB, in turn, in one run. README.md in this folder says more."""

import argparse
import re
import statistics
import subprocess
import sys
import time

import duckdb

# A name, a condition for Usher, and the same condition in SQL.
CASES = [
    ("1 atom", "i0 >= 200", "i0 >= 200"),
    ("3 atoms", "e0 == 'w3' && i0 >= 64 && b0", "e0 = 3 AND i0 >= 64 AND b0"),
    (
        "6 atoms",
        "e0 == 'w3' && i0 >= 64 && i1 <= 200 && b0 && f0 < 0.75 && now - t0 < duration('2400h')",
        "e0 = 3 AND i0 >= 64 AND i1 <= 200 AND b0 AND f0 < 0.75 AND t0 > 1800000000 - 2400 * 3600",
    ),
    ("3 ways", "e0 in ['w1', 'w5'] || i0 > 250 || (b0 && i1 < 10)", "e0 IN (1, 5) OR i0 > 250 OR (b0 AND i1 < 10)"),
    ("evaluated", "b0 && e0 == 'w3' && i0 * i1 > 60000", "b0 AND e0 = 3 AND i0::INTEGER * i1::INTEGER > 60000"),
]


def scattered(column):
    """The formula of `scattered` in benches/audience.rs. No step overflows 63 bits."""
    x = f"((c * 1103515245 + {column} * 7654321 + 1) % 2147483647)"
    return f"({x} * {x} % 2147483647)"


def number(column):
    s = scattered(column)
    return f"(CASE WHEN {s} % 50 = 0 THEN NULL ELSE {s} // 50 % 256 END)::UTINYINT"


def table(customers):
    """The customers, in the narrowest types, which suit DuckDB best."""
    base = duckdb.connect()
    base.execute(
        f"""CREATE TABLE customers AS SELECT
            ({scattered(0)} // 8 % 2 = 1) AS b0,
            ({scattered(1)} // 8 % 8)::UTINYINT AS e0,
            {number(2)} AS i0,
            {number(3)} AS i1,
            (({scattered(4)} % 1000)::FLOAT / 1000::FLOAT)::FLOAT AS f0,
            (1800000000 - {scattered(5)} % 14400000)::UINTEGER AS t0
        FROM (SELECT range AS c FROM range({customers}))"""
    )
    return base


class Usher:
    """The bench as a process that answers one condition a line."""

    def __init__(self, program, customers):
        self.process = subprocess.Popen(
            [program, "answer", str(customers)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout.readline() == "ready\n"

    def count(self, condition):
        self.process.stdin.write(condition + "\n")
        self.process.stdin.flush()
        matching, _, micros = map(int, self.process.stdout.readline().split())
        return matching, micros / 1e3


def timed(base, sql, threads):
    """The count, and the processor time in ms divided by the threads: the time on a machine without other work."""
    base.execute(f"SET threads = {threads}")
    begun = time.process_time()
    (count,) = base.execute(f"SELECT count(*) FROM customers WHERE {sql}").fetchone()
    return count, (time.process_time() - begun) / threads * 1e3


def program():
    build = ["cargo", "bench", "--bench", "audience", "--no-run"]
    said = subprocess.run(build, check=True, stderr=subprocess.PIPE, text=True).stderr
    return re.search(r"\((target/[^)]*)\)", said).group(1)


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--customers", type=int, default=10_000_000)
    arguments.add_argument("--runs", type=int, default=15)
    arguments.add_argument("--program", help="the bench, if it is already built; otherwise it is built in the repository's root")
    given = arguments.parse_args()
    usher = Usher(given.program or program(), given.customers)
    base = table(given.customers)
    print(f"{given.customers} customers, medians of {given.runs} runs in turn, DuckDB {duckdb.__version__}")
    print("           matching   Usher ms  DuckDB 1 thread     2 threads")
    for name, condition, sql in CASES:
        times = ([], [], [])
        for _ in range(given.runs):
            matching, took = usher.count(condition)
            times[0].append(took)
            for threads in (1, 2):
                count, took = timed(base, sql, threads)
                if count != matching:
                    sys.exit(f"{name}: Usher counts {matching}, DuckDB {count}")
                times[threads].append(took)
        mine, one, two = map(statistics.median, times)
        print(f"{name:<10} {matching:>9} {mine:>9.1f} {one:>9.1f} ({one / mine:.1f} x) {two:>7.1f} ({two / mine:.1f} x)")


if __name__ == "__main__":
    main()
