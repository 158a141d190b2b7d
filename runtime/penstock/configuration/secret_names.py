"""Names that hold secrets in free maps, where no schema can say so: environment variables, a client's own options."""

import re

_SECRET = re.compile(
    r"passw(or)?d|passphrase|secret|jaas|credentials?$|private[._-]?key|(api|access)[._-]?key|key[._-]?pem|token$",
    re.IGNORECASE,
)


def is_secret_name(name: str) -> bool:
    """Tell whether a name such as `DB_PASSWORD` or `ssl.key.password` stands for a secret."""
    return _SECRET.search(name) is not None
