"""Where librdkafka's own log goes: to ours, at the level that nobody reads unless asked to, and the same line once.

It would write to the terminal, where it only frightens; errors reach us by callbacks. While a broker is down each try
to reach it is a line, from every client and for every address.
"""

import logging
import re
import threading
import time

QUIET_S = 30.0
LINES_MAX = 100

_LOG = logging.getLogger("penstock_kafka.librdkafka")

# What differs from one try to the next: which client it was, how long it took, how many were not logged at all.
_VARYING = re.compile(r"\[\S+#\S+\]|\d+ms|\d+ identical")


class QuietLog:
    """Looks like a logger to the client. A line that was said in the last half minute is counted, not said again."""

    def __init__(self) -> None:
        """Begin with nothing said."""
        self._lock = threading.Lock()
        self._said: dict[str, list[float]] = {}

    def log(self, _level: int, message: str, *arguments: object) -> None:
        """Take a line of the client's."""
        if not _LOG.isEnabledFor(logging.DEBUG):
            return
        text = message % arguments if arguments else message
        repeated = self._repeated(_VARYING.sub("", text), time.monotonic())
        if repeated is not None:
            _LOG.debug("%s%s", text, f" (and {repeated} more like it before)" if repeated else "")

    def _repeated(self, line: str, now_s: float) -> int | None:
        """Tell how often a line was held back since it was last said; None when it is to be held back too."""
        with self._lock:
            said = self._said.get(line)
            if said is not None and now_s - said[0] < QUIET_S:
                said[1] += 1
                return None
            if len(self._said) >= LINES_MAX:
                self._said.clear()
            self._said[line] = [now_s, 0]
            return int(said[1]) if said is not None else 0
