"""Writes random bundles whose golden decisions hang on days, nights, hours and clocks that are changed.

    python3 bundles.py FOLDER SEED COUNT

What must come out is computed here with `zoneinfo`, from what the reference says about schedules, calendar
caps, days of computed features and written days. Each bundle is a folder for `usher check`.
"""

import json
import random
import sys
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

# Zones that have changed their clocks at midnight, by half an hour, by a day, twice a year or never.
ZONES = [
    "UTC", "Asia/Shanghai", "Europe/Berlin", "Europe/Lisbon", "Europe/London", "Europe/Dublin", "Atlantic/Azores",
    "America/New_York", "America/Sao_Paulo", "America/St_Johns", "America/Havana", "America/Santiago",
    "America/Asuncion", "America/Scoresbysund", "Africa/Cairo", "Africa/Casablanca", "Asia/Beirut", "Asia/Amman",
    "Asia/Tehran", "Asia/Kathmandu", "Asia/Kolkata", "Asia/Pyongyang", "Australia/Lord_Howe", "Australia/Sydney",
    "Pacific/Chatham", "Pacific/Apia", "Pacific/Fakaofo", "Pacific/Kwajalein", "Pacific/Kiritimati", "Antarctica/Troll",
]
DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAY = timedelta(days=1)
FIRST, LAST = datetime(1990, 1, 2, tzinfo=timezone.utc), datetime(2037, 12, 1, tzinfo=timezone.utc)
OFFERS, MOMENTS = 20, 25
# Contacts are kept from 2024 on.
CONTACTS_FROM = datetime(2024, 1, 20, tzinfo=timezone.utc)


def jumps(zone):
    """The moments, to the hour, after which a zone's clocks are others than before."""
    found, at = [], FIRST
    while at < LAST:
        then = at + DAY
        if at.astimezone(zone).utcoffset() != then.astimezone(zone).utcoffset():
            found += [at + timedelta(hours=h) for h in range(24)
                      if (at + timedelta(hours=h)).astimezone(zone).utcoffset()
                      != (at + timedelta(hours=h + 1)).astimezone(zone).utcoffset()]
        at = then
    return found


def written(at, dice):
    """A moment as RFC 3339, at any offset."""
    offset = timezone(timedelta(minutes=dice.choice([0, 0, 60, -210, 345, 480, 840, -1080, 1080])))
    return at.astimezone(offset).isoformat().replace("+00:00", "Z")


def clock(minutes):
    return f"{minutes // 60:02}:{minutes % 60:02}"


def is_day(edge):
    return isinstance(edge, date) and not isinstance(edge, datetime)


class Schedule:
    """A schedule as the reference describes it."""

    def __init__(self, dice, near, schema_zone):
        self.own = dice.choice([None, dice.choice(ZONES)])
        self.zone = ZoneInfo(self.own or schema_zone)
        day = near.astimezone(self.zone).date()
        self.start = self.edge(dice, day + DAY * dice.randint(-3, 1), near - timedelta(hours=dice.randint(1, 60)))
        self.end = self.edge(dice, day + DAY * dice.randint(-1, 3), near + timedelta(hours=dice.randint(1, 60)))
        if is_day(self.start) and is_day(self.end) and self.start > self.end:
            self.start = self.end
        self.hours = []
        for _ in range(dice.choice([0, 1, 1, 1, 2])):
            begin, end = dice.randrange(0, 1440, 5), dice.randrange(0, 1441, 5)
            if begin != end:
                self.hours.append((begin, end))
        self.days = sorted(dice.sample(range(7), dice.randint(1, 6))) if dice.random() < 0.4 else None

    def edge(self, dice, day, moment):
        return dice.choice([None, day, day, moment])

    def text(self, dice):
        parts = {}
        for name, edge in [("from", self.start), ("until", self.end)]:
            if isinstance(edge, datetime):
                parts[name] = written(edge, dice)
            elif edge:
                parts[name] = edge.isoformat()
        if self.hours:
            hours = [f"{clock(begin)}-{clock(end)}" for begin, end in self.hours]
            parts["hours"] = hours[0] if len(hours) == 1 else hours
        if self.days:
            parts["days"] = [DAYS[day] for day in self.days]
        if self.own:
            parts["timezone"] = self.own
        return parts

    def is_open(self, now):
        for edge, is_in in [(self.start, lambda edge: now >= edge), (self.end, lambda edge: now < edge)]:
            if isinstance(edge, datetime) and not is_in(edge):
                return False
        local = now.astimezone(self.zone)
        today, minute = local.date(), local.hour * 60 + local.minute
        if not self.hours:
            return self.on(today)
        for begin, end in self.hours:
            if begin < end:
                if begin <= minute < end and self.on(today):
                    return True
            elif minute >= begin and self.on(today) or minute < end and self.on(today - DAY):
                return True
        return False

    def on(self, day):
        """Whether hours that begin on this day count."""
        if is_day(self.start) and day < self.start:
            return False
        if is_day(self.end) and day > self.end:
            return False
        return self.days is None or day.weekday() in self.days

    def is_possible(self):
        """`usher` refuses a schedule that ends before it begins."""
        def first(edge, next_day):
            if edge is None or isinstance(edge, datetime):
                return edge
            return begin_of(edge + DAY if next_day else edge, self.zone)
        start, end = first(self.start, False), first(self.end, True)
        return start is None or end is None or start < end


def begin_of(day, zone):
    """The first moment whose local date is this day or later, to the second."""
    low = datetime(day.year, day.month, day.day, tzinfo=timezone.utc) - timedelta(hours=50)
    at = low
    while (at + timedelta(minutes=15)).astimezone(zone).date() < day:
        at += timedelta(minutes=15)
    while at.astimezone(zone).date() < day:
        at += timedelta(seconds=1)
    return at


def days_between(first, last, moments, zone):
    return {at.astimezone(zone).date() for at in moments if first <= at.astimezone(zone).date() <= last}


def bundle(folder, dice):
    schema_name = dice.choice(ZONES)
    schema_zone = ZoneInfo(schema_name)
    around = ZoneInfo(dice.choice(ZONES)) if dice.random() < 0.3 else schema_zone
    near = dice.choice(jumps(around) or [FIRST + DAY * dice.randrange(17_000)])
    if dice.random() < 0.2:
        near = FIRST + timedelta(seconds=dice.randrange(int((LAST - FIRST).total_seconds())))
    schedules = []
    while len(schedules) < OFFERS:
        schedule = Schedule(dice, near, schema_name)
        if schedule.is_possible():
            schedules.append(schedule)
    # A week of streaks and windows, a calendar cap, and days that are written in conditions and data.
    window, cap_days, cap_most = dice.randint(1, 5), dice.randint(1, 4), dice.randint(1, 3)
    cap_name = dice.choice(ZONES)
    cap_zone = ZoneInfo(cap_name)
    written_day = near.astimezone(schema_zone).date() + DAY * dice.randint(-1, 1)
    birthday = near.astimezone(schema_zone).date() + DAY * dice.randint(-1, 1)
    schema = {
        "schema": "zones", "timezone": schema_name, "channels": ["app"],
        "features": {
            "active": {"kind": "distinct", "event": "seen", "per": "day", "window": f"{window}d"},
            "run": {"kind": "streak", "event": "seen", "per": "day"},
            "born": {"kind": "time"},
        },
        "events": {"seen": {"properties": {}}},
    }

    def offer(name, place, **more):
        return {"placements": [place], "treatments": [{"placement": place, "content": {"title": name}}], **more}

    offers = {f"s{i:02}": offer(f"s{i:02}", "scheduled", schedule=s.text(dice)) for i, s in enumerate(schedules)}
    offers["capped"] = offer("capped", "capped", caps=[{"max": cap_most, "per": f"{cap_days}d", "timezone": cap_name}])
    offers["since"] = offer("since", "since", when=f"now >= timestamp('{written_day}')")
    offers["older"] = offer("older", "older", when="now >= born")
    counted = [f"a{n}" for n in range(8)] + [f"r{n}" for n in range(8)]
    for name in counted:
        feature = "active" if name[0] == "a" else "run"
        offers[name] = offer(name, "counted", when=f"{feature} == {name[1]}", priority=1 if name[0] == "a" else 2)
    rules = {
        "rule_set": "r",
        "placements": {p: {"channels": ["app"], "count": 30} for p in ["scheduled", "capped", "since", "older", "counted"]},
        "offers": offers,
    }
    golden = []
    for number in range(MOMENTS):
        now = near + timedelta(seconds=dice.choice([dice.randint(-200_000, 200_000), dice.randint(-15_000, 15_000), 60 * dice.randint(-300, 300)]))
        shown = [now - timedelta(seconds=dice.randrange(86_400 * 5)) for _ in range(dice.randint(0, 4) if now > CONTACTS_FROM else 0)]
        seen = [now - timedelta(seconds=dice.randrange(86_400 * 7)) for _ in range(dice.randint(0, 6))]
        today = now.astimezone(schema_zone).date()
        capped = sum(at >= begin_of(now.astimezone(cap_zone).date() - DAY * (cap_days - 1), cap_zone) for at in shown) >= cap_most
        since = (now - DAY * window).astimezone(schema_zone).date()
        active = len(days_between(since, today, seen, schema_zone))
        days, run = days_between(date.min, today, seen, schema_zone), 0
        last = today if today in days else today - DAY
        while last in days:
            run, last = run + 1, last - DAY
        golden.append({
            "name": f"n{number} at {now.isoformat()}", "now": written(now, dice),
            "customer": {"born": birthday.isoformat()},
            "events": [{"type": "seen", "at": written(at, dice)} for at in seen],
            "contacts": [{"offer": "capped", "placement": "capped", "channel": "app", "outcome": "impression", "at": written(at, dice)} for at in shown],
            "request": {"channel": "app", "placements": [{"id": p} for p in rules["placements"]]},
            "expect": {
                "scheduled": {"offers": [f"s{i:02}" for i, s in enumerate(schedules) if s.is_open(now)]},
                "capped": {"offers": [] if capped else ["capped"]},
                "since": {"offers": ["since"] if now >= begin_of(written_day, schema_zone) else []},
                "older": {"offers": ["older"] if now >= begin_of(birthday, schema_zone) else []},
                "counted": {"offers": [f"a{active}", f"r{run}"]},
            },
        })
    (folder / "rule-sets").mkdir(parents=True)
    for name, document in [("schema.yaml", schema), ("rule-sets/r.yaml", rules), ("golden.yaml", golden)]:
        (folder / name).write_text(json.dumps(document, indent=1))


def main():
    folder, seed, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    for number in range(count):
        bundle(folder / f"b{number:04}", random.Random(f"{seed} {number}"))


main()
