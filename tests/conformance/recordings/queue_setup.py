"""`setup` of a queue's case as a source and a mapping of a `penstock.yaml`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from conformance.recordings.case import Case, NotUnderstood

VISIBILITY_S_MOST = 5
"""A visibility timeout is so long at most, whatever was recorded. It is a node's lease too, so that is not much."""
WINDOW_S_MOST = 1
"""A batching window is so long at most."""
WINDOW = "MaximumBatchingWindowInSeconds"
PASSED_ON = {
    "BatchSize",
    "Enabled",
    "FilterCriteria",
    "FunctionResponseTypes",
    "GroupFailureMode",
    "MaximumBatchingWindowInSeconds",
    "ScalingConfig",
}
_OWN = {"EventSourceArn", "FunctionName"}
"""What `setup.create` says besides; these are ours to choose."""
_SOURCE = re.compile(r"sqs (standard|fifo)((?:, (?:VisibilityTimeout=\d+|(?:RedrivePolicy )?maxReceiveCount=\d+))*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSetup:
    """What a case says of its queue. `visibility_s` None: nothing; `receive_count_max` None: nothing is given up."""

    is_fifo: bool
    visibility_s: int | None
    receive_count_max: int | None

    def source(self, own: Mapping[str, Any], dead: str) -> dict[str, Any]:
        """Give the source's settings, over those of its own kind; `dead` is where messages go that are given up."""
        settings = dict(own)
        if self.visibility_s is not None:
            settings["VisibilityTimeout"] = self.visibility_s
        if self.receive_count_max is not None:
            settings["RedrivePolicy"] = {"maxReceiveCount": self.receive_count_max, "deadLetterTargetArn": dead}
        return settings


def setup_of(case: Case) -> QueueSetup:
    """Read what a case says of its queue. Raises NotUnderstood."""
    found = _SOURCE.fullmatch(case.source)
    if found is None:
        raise NotUnderstood(f"{case.id}: no queue here is as {case.source!r} says")
    given = {name: int(number) for name, number in re.findall(r"(\w+)=(\d+)", found[2])}
    return QueueSetup(
        is_fifo=found[1] == "fifo",
        visibility_s=min(given["VisibilityTimeout"], VISIBILITY_S_MOST) if "VisibilityTimeout" in given else None,
        receive_count_max=given.get("maxReceiveCount"),
    )


def mapping_of(case: Case) -> dict[str, Any]:
    """Give the settings of a case's mapping, as they were asked for. Raises NotUnderstood."""
    create = case.setup.get("create", {})
    if strange := create.keys() - PASSED_ON - _OWN:
        raise NotUnderstood(f"{case.id}: no mapping here has {', '.join(sorted(strange))}")
    return {key: create[key] for key in create if key in PASSED_ON}


def quickened(settings: Mapping[str, Any], *, window_s: int = 0) -> dict[str, Any]:
    """Make a window of a mapping no longer than needed to tell that there is one, and no shorter than `window_s`."""
    given_s = settings.get(WINDOW)
    if given_s is None and not window_s:
        return dict(settings)
    return {**settings, WINDOW: max(min(given_s or 0, WINDOW_S_MOST), window_s)}
