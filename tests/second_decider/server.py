"""A server on a free port, one connection to it, and the stories of customers that are told to it."""

import http.client
import json
import subprocess
import time

import times
from decider import Customer, Decision


class Server:
    def __init__(self, program, folder):
        self.process = subprocess.Popen(
            [program, "serve", "--models", str(folder), "--listen", "127.0.0.1:0", "--threads", "1"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={})
        line = self.process.stdout.readline()
        if not line.startswith("listening on http://"):
            raise Refused(f"the server did not start: {line}{self.process.stderr.read()}")
        self.address = line.strip().removeprefix("listening on http://")
        self.connection = http.client.HTTPConnection(self.address, timeout=60)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()

    def call(self, method, path, body, kind="application/json"):
        text = body if isinstance(body, str) else json.dumps(body)
        self.connection.request(method, path, text.encode(), {"Content-Type": kind})
        reply = self.connection.getresponse()
        text = reply.read().decode()
        if reply.status >= 300:
            raise Refused(f"{method} {path}: {reply.status} {text}\n{body}")
        return json.loads(text)

    def load(self, cases):
        """Tells the server of the customers of these cases, and returns them."""
        customers, events, rows = [], [], []
        for case in cases:
            customer = Customer(case["name"], case["customer"])
            customers.append(customer)
            if case["customer"] is not None:
                rows.append(json.dumps({"customer": customer.id, **case["customer"]}))
            for event in case.get("events") or []:
                customer.happened(event["type"], times.moment(event["at"]), event.get("properties") or {})
                events.append({"customer": customer.id, **event})
            for contact in case.get("contacts") or []:
                customer.met(contact, times.moment(contact["at"]))
                told = {key: value for key, value in contact.items() if key != "outcome"}
                events.append({"customer": customer.id, "type": contact["outcome"], **told})
        if rows:
            self.accepted(self.call("POST", "/v1/customers", "\n".join(rows), "application/x-ndjson"), rows)
        if events:
            self.accepted(self.call("POST", "/v1/events", events), events)
        return customers

    def accepted(self, answer, sent):
        if answer["rejected"]:
            raise Refused(f"rejected: {answer} of {sent}")

    def decide(self, bundle, customer, request):
        """The server's answer, what the second decider says, and tokens by place and offer."""
        before = time.time_ns()
        answer = self.call("POST", "/v1/decisions", {"customer": customer.id, **request})
        after = time.time_ns()
        tokens = {}
        answer.pop("decision_id")
        for place in answer["placements"]:
            for shown in place["propositions"]:
                tokens[place["id"], shown["offer"]] = shown.pop("token")
        second = decided(bundle, customer, request, before)
        if second != answer:  # a window or a schedule may have ended meanwhile
            second = decided(bundle, customer, request, after)
        return answer, second, tokens

    def tell(self, customer, channel, outcomes):
        """Sends outcomes with their tokens: (placement, offer, outcome, token)."""
        events = [{"type": outcome, "customer": customer.id, "token": token} for _, _, outcome, token in outcomes]
        self.accepted(self.call("POST", "/v1/events", events), events)
        for place, offer, outcome, _ in outcomes:
            customer.met({"offer": offer, "placement": place, "channel": channel, "outcome": outcome}, time.time_ns())


class Refused(Exception):
    """The server refused what the generator made."""


def decided(bundle, customer, request, now):
    answer = {"customer": customer.id, "known": customer.known(), "rule_sets": {name: 1 for name in bundle.rule_sets},
              "degraded": False, "placements": Decision(bundle, customer, request, now).placements()}
    if bundle.held_out(customer.id):
        answer["holdout"] = True
    return answer


def differences(server, second, at=""):
    """Where two answers differ, a line each."""
    if isinstance(server, dict) and isinstance(second, dict):
        keys = {**server, **second}
        return [line for key in keys for line in differences(server.get(key), second.get(key), f"{at}/{key}")]
    if isinstance(server, list) and isinstance(second, list) and len(server) == len(second):
        return [line for key, pair in enumerate(zip(server, second)) for line in differences(*pair, f"{at}/{key}")]
    return [] if server == second else [f"{at}: the server says {server!r}, the second decider {second!r}"]
