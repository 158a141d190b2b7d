"""Names, and what is derived from them: identities that stay the same when a file is edited or moved."""

import re
import uuid
from collections.abc import Iterable, Mapping

FUNCTION_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}\Z")
SOURCE_NAME = re.compile(r"[a-zA-Z0-9_.-]{1,128}\Z")
PROJECT_NAME = re.compile(r"[a-zA-Z0-9_.-]{1,64}\Z")

FUNCTION_NAME_ALLOWED = "1 to 64 letters, digits, - and _"
SOURCE_NAME_ALLOWED = "1 to 128 letters, digits, ., - and _"
PROJECT_NAME_ALLOWED = "1 to 64 letters, digits, ., - and _"

_NAMESPACE = uuid.UUID("8b1f5c0e-6d0b-5c55-9f0e-0c9d5a7c7e4b")
"""Never changes: every mapping's identity hangs on it."""

_FORMAT_BY_SERVICE = {"kinesis": "kinesis", "sqs": "sqs", "dynamodb": "dynamodb", "kafka": "kafka", "mq": "rmq"}


def project_name(folder_name: str) -> str:
    """Make a project's name of its folder's, with - for what a name can not have."""
    return re.sub(r"[^a-zA-Z0-9_.-]+", "-", folder_name)[:64].strip("-") or "penstock"


def mapping_uuid(project: str, mapping: str) -> str:
    """Give the identity of `<function>.<event>` in a project: the same on every machine and at every start."""
    return str(uuid.uuid5(_NAMESPACE, f"{project}/{mapping}"))


def function_arn(name: str, *, region: str, account_id: str) -> str:
    """Give a function's ARN."""
    return f"arn:aws:lambda:{region}:{account_id}:function:{name}"


def source_arn(name: str, *, kind: str, event_format: str, region: str, account_id: str) -> str:
    """Give a source's ARN: that of the service whose place it takes."""
    if kind == "queue":
        return f"arn:aws:sqs:{region}:{account_id}:{name}"
    if event_format == "dynamodb":
        return f"arn:aws:dynamodb:{region}:{account_id}:table/{name}/stream/{name}"
    return f"arn:aws:kinesis:{region}:{account_id}:stream/{name}"


def find_source(reference: str, arns: Mapping[str, str | None]) -> tuple[list[str], str | None]:
    """Find the sources that a reference names, and the event layout it asks for, if it is an ARN.

    `arns` has each source's own `Arn:`, or None. A name is found as it is; an ARN by a source's own, else by its last
    part. More than one found is for the caller to refuse.
    """
    if not reference.startswith("arn:"):
        return ([reference] if reference in arns else []), None
    service = reference.split(":")[2] if reference.count(":") > 2 else ""
    own = [name for name, arn in arns.items() if arn == reference]
    return own or _by_last_part(reference, service, arns), _FORMAT_BY_SERVICE.get(service)


def _by_last_part(reference: str, service: str, names: Iterable[str]) -> list[str]:
    resource = reference.split(":", 5)[-1]
    parts = resource.split("/")
    wanted = parts[1] if service in {"kinesis", "dynamodb"} and len(parts) > 1 else parts[-1]
    return [name for name in names if name == wanted]
