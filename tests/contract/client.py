"""Asks a running server through a client that openapi-python-client made from its OpenAPI document.

    python3 client.py http://127.0.0.1:7878 FOLDER

FOLDER holds the generated package `usher_client`. The server has the bundle models/retail-bank, whose chatbot
answers a complaint when the context says that there is one.
"""

import sys

server, folder = sys.argv[1:]
sys.path.insert(0, folder)

from usher_client import Client  # noqa: E402
from usher_client.api.default import decide, decide_by_query  # noqa: E402
from usher_client.models import (  # noqa: E402
    AskedPlacement,
    DecideByQueryContext,
    DecisionRequest,
    DecisionRequestContext,
)

client = Client(base_url=server, raise_on_unexpected_status=True)


def offers(context):
    """The offers with and without a body: both must be the same."""
    asked = {"customer": "generated", "channel": "chatbot"}
    by_query, by_body = DecideByQueryContext(), DecisionRequestContext()
    for name, value in context.items():
        by_query[name] = by_body[name] = value
    query = decide_by_query.sync(client=client, placement=["chat_offer"], context=by_query, **asked)
    placements = [AskedPlacement(id="chat_offer")]
    body = decide.sync(client=client, body=DecisionRequest(placements=placements, context=by_body, **asked))
    answers = [[one.offer for one in answer.placements[0].propositions] for answer in (query, body)]
    assert answers[0] == answers[1], answers
    return answers[0]


complaint, nothing = offers({"intent": "complaint"}), offers({})
print(f"with a complaint {complaint}, without {nothing}")
assert complaint and complaint != nothing
