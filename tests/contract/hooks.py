"""Lets schemathesis read answers in MessagePack as it reads those in JSON."""

import msgpack
import schemathesis


@schemathesis.deserializer("application/msgpack")
def read(_context, response):
    return msgpack.unpackb(response.content, strict_map_key=False)
