#!/usr/bin/env python3
"""make.py USHER: makes `killed`, `stopped` and `answers.json` in this folder anew, with the program USHER."""
import atexit, json, pathlib, re, shutil, subprocess, sys, time, urllib.request

HERE = pathlib.Path(__file__).parent
KILLED, STOPPED = HERE / "killed", HERE / "stopped"
BUNDLE = HERE / "bundle"
USHER = sys.argv[1]
AT = "2026-11-29T08:00:%02dZ"
WHO = ["c-1", "c-2", "c-3", "客户-4", "c-" + "5" * 40]

for directory in (KILLED, STOPPED):
    shutil.rmtree(directory, ignore_errors=True)


def start(directory):
    """Starts a server over this directory, and waits until it is ready."""
    global server, address
    command = [USHER, "serve", "--listen", "127.0.0.1:0", "--models", BUNDLE, "--data", directory]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    atexit.register(server.kill)
    address = re.search(r"http://\S+", server.stdout.readline()).group()
    while True:
        try:
            return ask("GET", "/readyz")
        except OSError:
            time.sleep(0.01)


def ask(method, path, body=None, media="application/json"):
    if body is not None and not isinstance(body, str):
        body = json.dumps(body)
    data = body.encode() if body is not None else None
    url = address + urllib.request.quote(path, safe="/?=&%")
    request = urllib.request.Request(url, data, {"content-type": media}, method=method)
    with urllib.request.urlopen(request) as reply:
        text = reply.read()
        return json.loads(text) if text else None


def events(*all):
    answer = ask("POST", "/v1/events", list(all))
    assert answer.get("rejected", []) == [], answer
    return answer


def decide(who, placement="banner", channel="app"):
    return ask("GET", f"/v1/decisions?customer={urllib.request.quote(who)}&channel={channel}&placement={placement}")


def token(who, offer, placement="banner"):
    propositions = decide(who, placement)["placements"][0]["propositions"]
    return next(it["token"] for it in propositions if it["offer"] == offer)


def publish(text, activate=True):
    name = re.search(r"rule_set: (\w+)", text).group(1)
    return ask("PUT", f"/v1/rule-sets/{name}" + ("" if activate else "?activate=false"), text, "application/yaml")


cards = (BUNDLE / "rule-sets/cards.yaml").read_text()
loans = (BUNDLE / "rule-sets/loans.yaml").read_text()

start(KILLED)

# Every kind of record, before the snapshot.
ask("PUT", "/v1/customers/c-1", {"age": 41, "consent": True, "tier": "gold", "interests": ["funds", "travel"],
    "aum": 600000.5, "score": 0.1, "since": "2020-02-29T12:00:00Z"})
ask("PUT", "/v1/customers/c-2", {"age": 17, "tier": "private", "aum": 999.99})
ask("PUT", "/v1/customers/c-3", {"age": 60, "tier": "private", "aum": 5000})
ask("PUT", f"/v1/customers/{WHO[3]}", {"age": 30, "tier": "mass", "interests": ["travel"]})
ask("PUT", f"/v1/customers/{WHO[4]}", {"age": 50, "tier": "gold"})
ask("PUT", "/v1/customers/gone-1", {"age": 99, "tier": "gold", "aum": 1})
ask("PATCH", "/v1/customers/c-1", {"score": -2.25, "consent": None})
events(
    {"id": "e-1", "type": "page_view", "customer": "c-1", "at": AT % 1, "properties": {"area": "cards"}},
    {"id": "e-2", "type": "page_view", "customer": "c-1", "at": AT % 2, "properties": {"area": "wealth"}},
    {"id": "e-3", "type": "payment", "customer": "c-1", "at": AT % 3, "properties": {"amount": 12.34}},
    {"id": "e-4", "type": "payment", "customer": "c-1", "at": AT % 4, "properties": {"amount": 100}},
    {"id": "e-5", "type": "page_view", "customer": "c-3", "at": AT % 5, "properties": {"area": "home"}})
assert events({"id": "e-1", "type": "page_view", "customer": "c-1"})["duplicates"] == 1
click = token("c-1", "gold_card")
events({"type": "impression", "customer": "c-1", "token": click, "at": AT % 6},
       {"type": "click", "customer": "c-1", "token": click, "at": AT % 7})
taught = token("c-3", "taught", "learned")
events({"type": "impression", "customer": "c-3", "token": taught}, {"type": "click", "customer": "c-3", "token": taught})
events({"type": "convert", "customer": "c-3", "token": token("c-3", "gift"), "at": AT % 8, "properties": {"value": 2.5}})
publish(cards.replace("value: 80", "value: 81"))
publish(cards.replace("value: 80", "value: 82"))
ask("POST", "/v1/rule-sets/cards/rollback")
ask("DELETE", "/v1/customers/gone-1")
ask("POST", "/v1/snapshots")

# And after it.
ask("PUT", "/v1/schema", (BUNDLE / "schema.yaml").read_text().replace("events:\n", "  kids: {kind: int, min: 0, max: 30}\nevents:\n"),
    "application/yaml")
ask("PATCH", "/v1/customers/c-2", {"kids": 3, "age": 18})
ask("PUT", "/v1/customers/gone-2", {"age": 98})
publish(cards.replace("value: 80", "value: 83"), activate=False)
ask("POST", "/v1/rule-sets/cards/versions/4/activate")
ask("POST", "/v1/rule-sets/cards/rollback")
ask("DELETE", "/v1/rule-sets/loans")
publish("rule_set: extras\noffers: {extra: {placements: [banner], attributes: {value: 1}, when: tier != 'mass', "
        "treatments: [{placement: banner, content: {title: 更多}}]}}\n")
events({"type": "convert", "customer": WHO[4], "token": token(WHO[4], "gold_card"), "at": AT % 9, "properties": {"value": -1.25}},
       {"type": "dismiss", "customer": "c-2", "offer": "extra", "placement": "banner", "channel": "chatbot", "at": AT % 10},
       {"id": "e-6", "type": "page_view", "customer": "c-2", "at": AT % 11, "properties": {"area": "cards"}})
events({"type": "convert", "customer": "c-2", "token": token("c-2", "gift"), "at": AT % 12})
ask("POST", "/v1/customers", "customer,age,tier\nc-6,33,gold\nc-7,34,mass\n", "text/csv")
ask("DELETE", "/v1/customers/gone-2")

# What later versions are asked again, without what depends on the day or on chance.
def shown(who, placement):
    answer = decide(who, placement)
    propositions = answer["placements"][0]["propositions"]
    keep = ("offer", "treatment", "rank", "content")
    return {"rule_sets": answer["rule_sets"], "known": answer["known"], "fallback": answer["placements"][0]["fallback"],
            "propositions": [{key: it[key] for key in keep} for it in propositions]}


def customer(who):
    answer = ask("GET", f"/v1/customers/{who}")
    answer["features"].pop("views_7d", None)
    return answer


everybody = WHO + ["c-6", "c-7"]
answers = {
    "customers": {who: customer(who) for who in everybody},
    "decisions": {who: {placement: shown(who, placement) for placement in ("banner", "learned")} for who in everybody + ["nobody"]},
    "versions": {name: ask("GET", f"/v1/rule-sets/{name}/versions") for name in ("cards", "loans", "extras")},
    "rule_sets": ask("GET", "/v1/rule-sets"),
    "erased": ["gone-1", "gone-2"],
}

# Killed: the journal ends in a megabyte of zeros. The next start cuts them, and is killed before it writes.
server.kill()
server.wait()
start(KILLED)
server.kill()
server.wait()
shutil.copytree(KILLED, STOPPED)
start(STOPPED)
server.terminate()
assert server.wait() == 0
for name, directory in (("killed", KILLED), ("stopped", STOPPED)):
    found = subprocess.run([USHER, "verify", "--json", directory], check=True, capture_output=True)
    answers[name] = json.loads(found.stdout)
(HERE / "answers.json").write_text(json.dumps(answers, ensure_ascii=False, indent=1) + "\n")
