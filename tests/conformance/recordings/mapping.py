"""`setup.create` as a mapping of a `penstock.yaml`.

What stands for AWS's destinations: an embedded queue for a queue of SQS and a topic of SNS, and a folder for a bucket
of S3. A queue gets AWS's bare form, a folder the payload too, as a bucket does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from conformance.recordings.case import Case, NotUnderstood
from conformance.recordings.scope import documents, responses

PASSED_ON = {
    "BatchSize",
    "BisectBatchOnFunctionError",
    "FilterCriteria",
    "FunctionResponseTypes",
    "MaximumBatchingWindowInSeconds",
    "MaximumRecordAgeInSeconds",
    "MaximumRetryAttempts",
    "ParallelizationFactor",
    "StartingPosition",
    "StartingPositionTimestamp",
    "TumblingWindowInSeconds",
}
_OWN = {"EventSourceArn", "FunctionName", "DestinationConfig"}
"""What `setup.create` says besides; these are ours to choose."""

EVENT = "FromStream"


def settings_of(case: Case) -> dict[str, Any]:
    """Give the settings of a case's mapping, without its destination: as asked for, else as the response shows them."""
    create = case.setup.get("create", {})
    if strange := create.keys() - PASSED_ON - _OWN:
        raise NotUnderstood(f"{case.id}: no mapping here has {', '.join(sorted(strange))}")
    response = next((value for _, value in responses(case)), {})
    given = {**response, **create}
    return {"StartingPosition": "TRIM_HORIZON", **{key: given[key] for key in given if key in PASSED_ON}}


def destination_of(case: Case, *, queue: str, folder: str) -> dict[str, Any] | None:
    """Give what stands for a case's destination: the queue, or the folder where the case has a bucket."""
    asked = _on_failure(case.setup.get("create", {}))
    address = asked.get("Destination") or next(
        (found["Destination"] for _, value in responses(case) if (found := _on_failure(value))), ""
    )
    if not address and not documents(case):
        return None
    service = re.search(r"\b(sqs|sns|s3)\b", address or "sqs")
    if service is None:
        raise NotUnderstood(f"{case.id}: nothing stands for the destination {address}")
    is_bucket = service[1] == "s3"
    chosen = {"Destination": f"file:{folder}" if is_bucket else queue, "IncludePayload": is_bucket}
    if "IncludePayload" in asked:
        chosen["IncludePayload"] = asked["IncludePayload"]
    return chosen


def _on_failure(create: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = create.get("DestinationConfig", {}).get("OnFailure", {})
    return found
