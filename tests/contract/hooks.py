"""Lets schemathesis read answers in MessagePack as it reads those in JSON, and send lines of JSON."""

import json

import msgpack
import schemathesis


@schemathesis.deserializer("application/msgpack")
def read(_context, response):
    return msgpack.unpackb(response.content, strict_map_key=False)


@schemathesis.serializer("application/x-ndjson")
def write(_context, value):
    text = value if isinstance(value, str) else json.dumps(value, default=repr)
    return text.encode(errors="replace")
