"""Bugs to plant in the core of queues."""

from __future__ import annotations

from simulation.mutant import Mutant

QUEUE = "queue_machine"

QUEUE_MUTANTS = (
    Mutant(
        "acks what failed", "queue", "verdict",
        "again.append((message, delays_ms[place]))", "done.append(message)",
    ),
    Mutant(
        "brings a failed message back at once", "queue", "verdict",
        "again.append((message, delays_ms[place]))", "again.append((message, 0))",
    ),
    Mutant(
        "counts what a throttle kept from running", "queue", QUEUE,
        "self._fates.hide(messages, wait_ms, counted=False, now_ms=now_ms)",
        "self._fates.hide(messages, wait_ms, counted=True, now_ms=now_ms)",
    ),
    Mutant(
        "lets the leases of a running batch lapse", "queue", QUEUE,
        "self._runs.add(invocation_id, running)",
        "self._runs.add(invocation_id, running); self._fates.leases.let_go(batch.receipts)",
    ),
    Mutant(
        "extends what it has settled", "queue", "fates",
        "            self.leases.let_go(receipts)\n", "",
    ),
    Mutant(
        "receives without room", "queue", QUEUE,
        "wanted = settings.batch_size * max(0, batches) - beyond", "wanted = settings.batch_size",
    ),
    Mutant(
        "runs more of a mapping than it may", "queue", QUEUE,
        "or not self._may_run_one_more():\n            self._context", "or False:\n            self._context",
    ),
    Mutant(
        "keeps what it was given while it stops", "queue", QUEUE,
        "self._return(messages, reason, now_ms)\n            return", "return",
    ),
    Mutant(
        "waits for ever for a receive", "queue", "receiving",
        "if asked is None or now_ms < asked.answer_by_ms:", "if True:",
    ),
    Mutant(
        "runs messages that are too large", "queue", "gathering",
        "if too_large:\n            self._keep([place for place, size in enumerate(self._sizes) if size <= room])\n"
        "        return too_large",
        "return []",
    ),
    Mutant(
        "keeps returning what its lease has run out of", "queue", "leases",
        "held.has_lapsed = True", "pass",
    ),
)  # fmt: skip
