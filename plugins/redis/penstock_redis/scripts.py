"""The server-side scripts: their text, and the hash under which a server keeps it.

A script's name on the server is the hash of its text, so a server can hold those of several releases, and each node
calls its own (D48). They are sent to a server that does not have them; nothing has to be installed.
"""

import hashlib
from dataclasses import dataclass
from importlib import resources


@dataclass(frozen=True, slots=True)
class Script:
    """A script and its name on the server."""

    text: str
    name: str


def _load(name: str) -> Script:
    folder = resources.files("penstock_redis") / "lua"
    text = (folder / name).read_text()
    text = text.replace("--@lease\n", (folder / "lease.lua").read_text())
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


STREAM = _load("stream.lua")
SEND = _load("send.lua")
LIST = _load("list.lua")
