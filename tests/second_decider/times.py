"""Moments, days and time zones."""

import re
from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from values import SECOND, NoAnswer

RFC3339 = re.compile(r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)")
DAY = re.compile(r"\d{4}-\d\d-\d\d")
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
ZONES = {}


def zone(name):
    """A time zone by its IANA name, or an offset such as +07:00."""
    if name not in ZONES:
        offset = re.fullmatch(r"([+-])(\d\d):(\d\d)", name)
        if offset:
            minutes = int(offset[2]) * 60 + int(offset[3])
            ZONES[name] = timezone(timedelta(minutes=-minutes if offset[1] == "-" else minutes))
        else:
            ZONES[name] = ZoneInfo(name)
    return ZONES[name]


def moment(text, zone_of_days="UTC"):
    """Nanoseconds since 1970 of an RFC 3339 time, or of the first moment of a day."""
    if DAY.fullmatch(text):
        return start_of_day(date.fromisoformat(text), zone_of_days)
    match = RFC3339.fullmatch(text)
    if not match:
        raise NoAnswer(f"no time: {text}")
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    local = datetime(year, month, day, hour, minute, second, tzinfo=zone("+00:00"))
    offset = timedelta(0) if match[8] in "Zz" else zone(match[8]).utcoffset(None)
    whole = (local - offset - EPOCH) // timedelta(seconds=1)
    return whole * SECOND + int(((match[7] or "") + "0" * 9)[:9])


def start_of_day(day, name):
    """The first moment of a day. A zone may skip midnight: then the day begins when the clock jumps."""
    local = datetime(day.year, day.month, day.day, tzinfo=zone(name))
    return int((local - EPOCH) / timedelta(seconds=1)) * SECOND


def local(ns, name):
    """What the clock on the wall shows, to the second."""
    return (EPOCH + timedelta(seconds=ns // SECOND)).astimezone(zone(name))


def day_number(ns, name):
    """Days since 1970 in a time zone."""
    return (local(ns, name).date() - date(1970, 1, 1)).days


def span(text):
    """Seconds of a time span such as 30m, 12h, 7d."""
    return int(text[:-1]) * {"m": 60, "h": 3600, "d": 86400}[text[-1]]
