"""What the records of every benchmark hold."""

import json

VALUE_BYTES = 100
KEYS = 1000


def value_of(number: int) -> bytes:
    """Make a JSON document of exactly 100 bytes."""
    bare = json.dumps({"number": number, "text": ""})
    return json.dumps({"number": number, "text": "x" * (VALUE_BYTES - len(bare))}).encode()
