"""A server on a free port, and one connection to it."""

import http.client
import json
import subprocess
from urllib.parse import urlencode


class Refused(Exception):
    """The server refused what the generator made."""


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

    def call(self, method, path, body=None, kind="application/json"):
        text = body if isinstance(body, str) or body is None else json.dumps(body)
        self.connection.request(method, path, text and text.encode(), {"Content-Type": kind} if text else {})
        reply = self.connection.getresponse()
        text = reply.read().decode()
        if reply.status >= 300:
            raise Refused(f"{method} {path}: {reply.status} {text}\n{body}")
        return json.loads(text)

    def decide(self, customer, request, by_query):
        if not by_query:
            return self.call("POST", "/v1/decisions", {"customer": customer, **request})
        asked = [("customer", customer), ("channel", request["channel"])]
        asked += [("placement", place["id"]) for place in request["placements"]]
        locales = request.get("locale", [])
        asked += [("locale", text) for text in ([locales] if isinstance(locales, str) else locales)]
        for name, value in (request.get("context") or {}).items():
            asked.append((f"context[{name}]", str(value).lower() if isinstance(value, bool) else value))
        return self.call("GET", f"/v1/decisions?{urlencode(asked)}")

    def events(self, events):
        """Sends events, and returns the indexes of those that were beyond a budget."""
        answer = self.call("POST", "/v1/events", events)
        if answer["rejected"]:
            raise Refused(f"rejected: {answer} of {events}")
        return answer.get("over_budget", [])
