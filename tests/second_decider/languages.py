"""Which treatment serves a request's languages, as `docs/reference/locales.md` says."""

import re
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs/reference/locales.md").read_text(encoding="utf-8")
LIKELY, BY_REGION, BY_SCRIPT = (
    [tuple(tag.lower().split("-")) for tag in block.split()] for block in re.findall(r"```text\n(.*?)```", PAGE, re.S))
LIKELY = {language: (script, region) for language, script, region in LIKELY}
BY_REGION = {(language, region): script for language, script, region in BY_REGION}
BY_SCRIPT = {(language, script): region for language, script, region in BY_SCRIPT}
SAME = dict(zip("iw in ji jw mo no tl tw eng zho cmn deu fra".split(), "he id yi jv ro nb fil ak en zh zh de fr".split()))
SCRIPTS = {"latin": "latn", "cyrillic": "cyrl", "devanagari": "deva"}


def read(text):
    """A tag as (language, script, region, rest), or None if it names no language."""
    text, _, modifier = text.strip().partition("@")
    first, *others = text.partition(".")[0].replace("_", "-").lower().split("-")
    if not re.fullmatch("[a-z]{1,8}", first) or first in ("c", "posix"):
        return None
    language, script, region, rest = (first, "", "", []) if len(first) in (2, 3) else ("", "", "", [first])
    for part in (part.removeprefix("#") for part in others if part):
        if not re.fullmatch("[a-z0-9]{1,8}", part):
            break
        if not rest and not script and re.fullmatch("[a-z]{4}", part):
            script = part
        elif not rest and not region and re.fullmatch("[a-z]{2}|[0-9]{3}", part):
            region = part
        elif not rest and language == "zh" and part in ("cmn", "yue"):
            language = part
        elif len(rest) == 4:
            break
        else:
            rest.append(part)
    if language == "sh":
        language, script = "sr", "latn"
    region = "gb" if region == "uk" else region
    return SAME.get(language, language), script or SCRIPTS.get(modifier, ""), region, tuple(rest)


def filled(language, script, region):
    likely_script, likely_region = LIKELY.get(language, ("", ""))
    if not script:
        script = BY_REGION.get((language, region), likely_script) if region else likely_script
        return script, region or likely_region
    return script, region or BY_SCRIPT.get((language, script), likely_region)


def served_by(tag):
    """The tags that serve a request for this one, the best first."""
    language, script, region, rest = tag
    found = [tag]
    while rest:
        rest = rest[:-1]
        while rest and len(rest[-1]) == 1:
            rest = rest[:-1]
        found.append((language, script, region, rest))
    if language:
        script, region = filled(language, script, region)
        found.append((language, script, region, ()))
        if filled(language, "", region) == (script, region):
            found.append((language, "", region, ()))
        found += [(language, script, "", ()), (language, "", "", ())]
        found += [("nb", "", "", ())] if language == "nn" else []
    return found


def wanted(locale):
    """The tags that serve a request's `locale`, the best first: one text, a list of them, or none."""
    texts = [locale] if isinstance(locale, str) else locale or []
    named, refused = [], []
    for one in ",".join(texts).split(","):
        text, *parameters = one.split(";")
        tag, quality = read(text), 1.0
        for parameter in parameters:
            name, _, value = parameter.strip().partition("=")
            quality = float(value) if name.lower() == "q" else quality
        if tag:
            (named if quality else refused).append((quality, tag))
    named.sort(key=lambda one: -one[0])
    refused = [tag for _, tag in refused]
    return [tag for _, asked in named for tag in served_by(asked) if tag not in refused]
