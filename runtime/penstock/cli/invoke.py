"""`penstock invoke`: run a function once."""

import asyncio
import json
import sys
import uuid
from pathlib import Path

import click

from penstock.api import (
    PAYLOAD_BYTES_MAX,
    FunctionFailed,
    FunctionSpec,
    Invocation,
    InvocationResult,
    NotRun,
    PenstockError,
    Returned,
)
from penstock.cli.failures import FAILED, Failure, Wrong
from penstock.cli.loading import function_of, load_project, make_data_dir
from penstock.cli.options import command, data_dir_option, endpoint_option, file_option
from penstock.cli.output import write_json
from penstock.cli.session import session
from penstock.functions import FunctionHost

TYPES = ("RequestResponse", "Event", "DryRun")


@command(
    "invoke",
    example="""\
penstock invoke hello '{"name": "Ada"}' --local
penstock event kinesis Ada | penstock invoke hello -e - --local --log""",
)
@click.argument("function", metavar="FUNCTION")
@click.argument("payload", required=False)
@click.option("-e", "--event", "event_file", metavar="FILE", help="The event's file; - is stdin.")
@click.option(
    "--invocation-type", type=click.Choice(TYPES), default=TYPES[0], show_default=True, help="DryRun checks alone."
)
@click.option("--log", is_flag=True, help="Show the last 4 KB of what the invocation logged, on stderr.")
@click.option("--local", is_flag=True, help="Run it in an environment of this process's own, without a node.")
@file_option()
@data_dir_option
@endpoint_option
def invoke(
    *,
    function: str,
    payload: str | None,
    event_file: str | None,
    invocation_type: str,
    log: bool,
    local: bool,
    file: str,
    data_dir: Path | None,
    endpoint: str,  # noqa: ARG001 - there is no node to ask yet, and --local needs none
    as_json: bool,
) -> None:
    """Run FUNCTION once and print what it returns. Ends with 1 if the function fails."""
    if not local:
        raise Wrong("invoking at a node is not supported yet; --local runs the function without one")
    if invocation_type == "Event":
        raise Wrong("the invocation type Event is not supported yet; there are RequestResponse and DryRun")
    event = _event(payload, event_file)
    project = load_project(file, data_dir)
    spec = function_of(project, function).spec
    if invocation_type == "DryRun":
        session().say(f"{spec.name} could be invoked")
        return
    make_data_dir(project.settings.data_dir)
    result, tail = asyncio.run(_invoke(spec, event, project.settings.data_dir))
    if log:
        click.echo(session().mask(tail.decode("utf-8", "replace")), err=True, nl=not tail.endswith(b"\n"))
    _report(result, as_json=as_json)


def _event(payload: str | None, event_file: str | None) -> bytes:
    if payload is not None and event_file is not None:
        raise Wrong("give PAYLOAD or --event, and not both")
    name = "PAYLOAD" if event_file is None else event_file
    content = ("{}" if payload is None else payload).encode() if event_file is None else _read(event_file)
    if len(content) > PAYLOAD_BYTES_MAX:
        raise Wrong(f"{name} has {len(content)} bytes; the most is {PAYLOAD_BYTES_MAX}")
    try:
        json.loads(content)
    except ValueError as error:
        raise Wrong(f"{name} is not JSON: {error}") from None
    return content


def _read(event_file: str) -> bytes:
    if event_file == "-":
        return sys.stdin.buffer.read(PAYLOAD_BYTES_MAX + 1)
    try:
        with Path(event_file).open("rb") as file:
            return file.read(PAYLOAD_BYTES_MAX + 1)
    except OSError as error:
        raise Wrong(f"{event_file}: {error.strerror}") from None


async def _invoke(spec: FunctionSpec, event: bytes, data_dir: Path) -> tuple[InvocationResult, bytes]:
    request_id = str(uuid.uuid4())
    async with FunctionHost(data_dir=data_dir, logs="file") as host:
        executor = host.executor(spec, environments_max=1)
        try:
            await executor.open()
        except PenstockError as error:
            raise Wrong(str(error)) from None
        result = await executor.invoke(Invocation(request_id, event))
        return result, executor.log_tail(request_id)


def _report(result: InvocationResult, *, as_json: bool) -> None:
    match result:
        case Returned():
            _print(result.payload, result.duration_ms, None, as_json=as_json)
        case FunctionFailed():
            _print(result.payload, result.duration_ms, result.error_type, as_json=as_json)
            raise Failure(f"the function failed: {result.error_type}: {result.error_message}", code=FAILED)
        case NotRun():
            raise Failure(f"the function was not run: {result.reason}", code=FAILED)


def _print(payload: bytes, duration_ms: int, error_type: str | None, *, as_json: bool) -> None:
    if not as_json:
        click.echo(payload)
        return
    write_json({"payload": json.loads(payload), "functionError": error_type, "durationMs": duration_ms})
