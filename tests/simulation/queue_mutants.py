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
        "dead-letters before the last run", "queue", "verdict",
        "message.receive_count >= most", "message.receive_count + 1 >= most",
    ),
    Mutant(
        "runs a message once more than it may", "queue", "verdict",
        "message.receive_count >= most", "message.receive_count > most",
    ),
    Mutant(
        "lets what is behind a failure go", "queue", "verdict",
        "elif message.group in failed_groups:", "elif False:",
    ),
    Mutant(
        "holds other groups back", "queue", "verdict",
        "elif message.group in failed_groups:", "elif failed_groups:",
    ),
    Mutant(
        "blames what a failure holds back", "queue", "verdict",
        "again.append((message, None))", "dead.append(message)",
    ),
    Mutant(
        "holds back what AWS deletes", "queue", "verdict",
        ' and settings.group_failure_mode == "group"', "",
    ),
    Mutant(
        "believes a report that names a stranger", "queue", "queue_response",
        "return unknown_items(unknown)", "failures = [failure for failure in failures if failure not in unknown]",
    ),
    Mutant(
        "ignores the delay that was asked for", "queue", "queue_response",
        "delay_ms = None if seconds is None else round(seconds * 1000)", "delay_ms = None",
    ),
    Mutant(
        "believes any delay", "queue", "queue_response",
        "if impatient:", "if False:",
    ),
    Mutant(
        "takes the shorter of two delays", "queue", "queue_response",
        "other_ms > one_ms", "other_ms < one_ms",
    ),
    Mutant(
        "reads reports that nobody asked for", "queue", "queue_response",
        "if not isinstance(succeeded, Succeeded) or not reports_item_failures:",
        "if not isinstance(succeeded, Succeeded):",
    ),
    Mutant(
        "extends what it has settled", "queue", "fates",
        "            self.leases.let_go(receipts)\n", "",
    ),
    Mutant(
        "deletes a message before its letter is there", "queue", "fates",
        "self.away.add(letters, now_ms)", "self.away.add(letters, now_ms); self.delete(messages, now_ms)",
    ),
    Mutant(
        "keeps a message whose letter is there", "queue", "fates",
        "self.delete((letter.message,), now_ms)", "pass",
    ),
    Mutant(
        "says of what never ran that it did", "queue", "fates",
        "message.receive_count if was_run else message.receive_count - 1", "message.receive_count",
    ),
    Mutant(
        "gives up acks while their connection lasts", "queue", "fates",
        " or not settings.is_leased", "",
    ),
    Mutant(
        "returns at once what the queue can not hide", "queue", "fates",
        "if settings.is_delayed or (", "if True or (",
    ),
    Mutant(
        "lets the leases of dead letters lapse", "queue", "fates",
        "self.away.add(letters, now_ms)",
        "self.away.add(letters, now_ms); self.leases.let_go(each.receipt for each in messages)",
    ),
    Mutant(
        "keeps failed letters when it stops", "queue", "fates",
        "self.hide(run, 0, counted=True, now_ms=now_ms)", "pass",
    ),
    Mutant(
        "returns what was run as if it had not been", "queue", "fates",
        "self._give_back(tuple(spent), delay_ms, counted=True",
        "self._give_back(tuple(spent), delay_ms, counted=False",
    ),
    Mutant(
        "returns what is being counted as counted", "queue", "groups",
        "if entry.is_spent and group.counting:", "if False:",
    ),
    Mutant(
        "goes on with a group that is not settled", "queue", "groups",
        "if group.turn is not None or group.out or group.counting", "if group.turn is not None or group.counting",
    ),
    Mutant(
        "runs what failed before its time", "queue", "groups",
        "else now_ms + delay_ms", "else now_ms",
    ),
    Mutant(
        "turns what failed round", "queue", "groups",
        "for message, delay_ms in reversed(again):", "for message, delay_ms in again:",
    ),
    Mutant(
        "turns what was not run round", "queue", "groups",
        "for message in reversed(messages):", "for message in messages:",
    ),
    Mutant(
        "counts a run twice", "queue", "groups",
        "counts.setdefault(entry.message.receive_count + 1", "counts.setdefault(entry.message.receive_count + 2",
    ),
    Mutant(
        "keeps a receipt that stands for nothing", "queue", "groups",
        "msgspec.structs.replace(message, receive_count=entry.message.receive_count)",
        "msgspec.structs.replace(message, receive_count=entry.message.receive_count, "
        "receipt=entry.message.receipt)",
    ),
    Mutant(
        "runs what failed without counting it", "queue", QUEUE,
        "self._fates.count(counts, now_ms)",
        "self._groups.counted([each for receipts in counts.values() for each in receipts], now_ms)",
    ),
    Mutant(
        "keeps what may be another's by now", "queue", QUEUE,
        "self._on_doubtful(self._fates.leases.lapsed(now_ms), now_ms)", "pass",
    ),
    Mutant(
        "counts what a throttle kept from running", "queue", QUEUE,
        "self._fates.hide(messages, wait_ms, counted=False, now_ms=now_ms)",
        "self._fates.hide(messages, wait_ms, counted=True, now_ms=now_ms)",
    ),
    Mutant(
        "receives while it is throttled", "queue", QUEUE,
        "or self._run_again_ms is not None or self._is_full()", "or self._is_full()",
    ),
    Mutant(
        "holds more than it may", "queue", QUEUE,
        "wanted = min(wanted, settings.held_max - self._groups.held - self._fates.hidden)", "pass",
    ),
    Mutant(
        "takes in what comes too late", "queue", QUEUE,
        'if kind == "late" or self._stop_by_ms is not None:', "if self._stop_by_ms is not None:",
    ),
    Mutant(
        "forgets what never answered", "queue", QUEUE,
        "self._fates.hide(running.batch.messages, timeout_ms, counted=True, now_ms=now_ms)", "pass",
    ),
    Mutant(
        "lets the leases of a running batch lapse", "queue", QUEUE,
        "self._runs.add(invocation_id, running)",
        "self._runs.add(invocation_id, running); self._fates.leases.let_go(batch.receipts)",
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
        "shrinks although its function reports", "queue", QUEUE,
        "if not self._context.settings.reports_item_failures:", "if True:",
    ),
    Mutant(
        "grows too fast", "queue", "scaling",
        "self._allowed + self._policy.step", "self._allowed + 2 * self._policy.step",
    ),
    Mutant(
        "never rests", "queue", "scaling",
        "self._allowed -= (self._allowed - policy.floor + 1) // 2", "pass",
    ),
    Mutant(
        "does not yield to errors", "queue", "scaling",
        "self._allowed = max(1, self._allowed - max(1, self._allowed // 10))", "pass",
    ),
    Mutant(
        "waits for ever for a receive", "queue", "receiving",
        "if asked is None or now_ms < asked.answer_by_ms:", "if True:",
    ),
    Mutant(
        "runs messages that are too large", "queue", "gathering",
        "if too_large:\n            self._keep([place for place, size in enumerate(self._sizes) if size "
        "<= room])\n        return too_large",
        "return []",
    ),
    Mutant(
        "keeps returning what its lease has run out of", "queue", "leases",
        "held.has_lapsed = True", "pass",
    ),
    Mutant(
        "extends at the last moment", "queue", "leases",
        "max(self.lease_ms // 3,", "max(self.lease_ms,",
    ),
    Mutant(
        "asks a target again at once that refused", "queue", "sending_away",
        "leaving.due_ms = now_ms + wait_ms", "leaving.due_ms = now_ms",
    ),
    Mutant(
        "loses a letter that was refused", "queue", "sending_away",
        "self._refused.append(leaving)", "pass",
    ),
    Mutant(
        "waits for ever for a target's answer", "queue", "sending_away",
        "if now_ms >= one.answer_by_ms]", "if False]",
    ),
    Mutant(
        "waits for ever for a queue's answer", "queue", "settlement",
        "for owed in [owed for owed in self._owed.values() if owed.is_overdue(now_ms)]:", "for owed in []:",
    ),
    Mutant(
        "runs what no filter matches", "queue", "intake",
        "return sifted.kept", "return messages",
    ),
    Mutant(
        "deletes what is to be kept", "queue", "intake",
        "self._fates.bring_again(sifted.left_out, counted=False, now_ms=now_ms)",
        "self._fates.delete(sifted.left_out, now_ms)",
    ),
    Mutant(
        "waits for ever for its function", "queue", "runs",
        "elif running.cancelled and now_ms >= running.answer_by_ms:", "elif False:",
    ),
)  # fmt: skip
