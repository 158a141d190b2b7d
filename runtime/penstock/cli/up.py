"""`penstock up`: runs a node in the foreground."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from penstock.cli.options import command, data_dir_option, file_option

if TYPE_CHECKING:
    from penstock.configuration import Project
    from penstock.plugins import Registry
    from penstock.shell.data_dir import DataDir
    from penstock.shell.idleness import Idleness, Verdict
    from penstock.shell.logs import Log
    from penstock.shell.node import Node

IDLE_S = 3.0


F = TypeVar("F", bound=Callable[..., Any])


def _option(name: str, **settings: Any) -> Callable[[F], F]:
    variable = "PENSTOCK_" + name.removeprefix("--").replace("-", "_").upper()
    return click.option(name, envvar=variable, show_envvar=True, **settings)


@command(
    "up",
    example="penstock up\npenstock up -f shop/penstock.yaml --listen 127.0.0.1:0\n"
    "penstock up --until-idle=5 --timeout 60 --fail-on-dropped",
)
@file_option()
@data_dir_option
@_option("--listen", metavar="HOST:PORT", help="Where the API listens; port 0 picks one, `none` for no API.")
@_option("--drain-timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="How long what runs may take to end.")
@_option("--log-format", type=click.Choice(["text", "json"]), help="How the node's log is written to stderr.")
@_option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="The least level that is logged.",
)
@_option(
    "--function-logs",
    type=click.Choice(["file", "stdout", "both"]),
    default="file",
    show_default=True,
    help="Where the output of functions goes.",
)
@_option(
    "--until-idle",
    type=click.FloatRange(min=0),
    is_flag=False,
    flag_value=IDLE_S,
    metavar="SECONDS",
    help=f"End when there has been nothing left to do for so long ({IDLE_S:g} when not said).",
)
@_option("--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="With --until-idle: give up after so long.")
@_option(
    "--fail-on-dropped",
    is_flag=True,
    help="With --until-idle: end with 1 when a record was given up, delivered to a destination or not.",
)
def up(file: str, data_dir: Path | None, as_json: bool, **options: Any) -> None:  # noqa: FBT001 - click passes flags by name
    """Run a node in the foreground, until SIGTERM or Ctrl-C (which let running invocations end) or until it is idle.

    Ends with 0 when it was stopped or everything is done, 1 when --until-idle gave up or a mapping has failed, 2 when
    the configuration is wrong, and 3 when --until-idle can not reach a broker.
    """
    from penstock.cli.failures import Failure  # noqa: PLC0415 - `--help` needs none of these
    from penstock.cli.loading import load_project  # noqa: PLC0415
    from penstock.cli.output import write_json  # noqa: PLC0415
    from penstock.plugins import load_plugins  # noqa: PLC0415
    from penstock.shell.node import run_in_loop  # noqa: PLC0415

    if options["until_idle"] is None and (options["timeout"] is not None or options["fail_on_dropped"]):
        raise click.UsageError("--timeout and --fail-on-dropped go with --until-idle.")
    registry = load_plugins()
    project = load_project(file, data_dir, registry=registry)
    listen = options.pop("listen") or project.settings.listen
    _check_listen(listen)
    verdict = run_in_loop(_up(project, registry, listen=listen, **options))
    if as_json:
        write_json({"exit_code": verdict.exit_code, "left": list(verdict.lines)})
    if verdict.exit_code:
        raise Failure("\n".join(verdict.lines), code=verdict.exit_code)


async def _up(
    project: "Project",
    registry: "Registry",
    *,
    listen: str,
    log_format: str | None,
    log_level: str,
    **options: Any,
) -> "Verdict":
    from penstock.api import PenstockError  # noqa: PLC0415
    from penstock.cli.failures import Wrong  # noqa: PLC0415
    from penstock.configuration import mask_function  # noqa: PLC0415
    from penstock.shell.data_dir import DataDir  # noqa: PLC0415
    from penstock.shell.logs import adopt_standard_logging, make_log  # noqa: PLC0415

    log = make_log(
        log_format=log_format or project.settings.log_format, level=log_level, mask=mask_function(project.secrets)
    )
    adopt_standard_logging(log, log_level)
    for finding in (*project.warnings, *project.problems):
        log.warning(str(finding))
    try:
        with DataDir(project.settings.data_dir) as data_dir:
            return await _run_node(project, registry, data_dir, log, listen=listen, log_level=log_level, **options)
    except PenstockError as error:
        # All of these mean that the node can not run as it was asked to; a broker in trouble never gets here.
        raise Wrong(str(error)) from error


async def _run_node(
    project: "Project",
    registry: "Registry",
    data_dir: "DataDir",
    log: "Log",
    *,
    listen: str,
    log_level: str,
    function_logs: str,
    drain_timeout: float | None,
    until_idle: float | None,
    timeout: float | None,  # noqa: ASYNC109 - the option's name; nothing here waits for it
    fail_on_dropped: bool,
) -> "Verdict":
    from penstock.shell.node import Node  # noqa: PLC0415
    from penstock.shell.signals import handled_signals  # noqa: PLC0415

    node = Node(
        project,
        registry,
        data_dir=data_dir,
        log=log,
        log_level=log_level,
        function_logs=function_logs,  # type: ignore[arg-type] # click has checked the choice
        drain_timeout_s=drain_timeout,
    )
    idleness = None
    if until_idle is not None:
        idleness = _idleness(until_idle, timeout, fail_on_dropped=fail_on_dropped)
    with handled_signals(node.stop):
        async with _endpoint(node, project, data_dir, log, listen):
            log.info(
                "node started",
                endpoint=node.endpoint or "none",
                project=project.name,
                mappings=len(project.mappings),
                concurrency_max=project.settings.concurrency_max,
                data_dir=str(data_dir.path),
            )
            verdict = await node.run(idleness)
    log.info("node stopped", exit_code=verdict.exit_code)
    return verdict


def _idleness(until_idle_s: float, timeout_s: float | None, *, fail_on_dropped: bool) -> "Idleness":
    import asyncio  # noqa: PLC0415

    from penstock.shell.idleness import Idleness  # noqa: PLC0415
    from penstock.shell.machine_driver import clock_ms  # noqa: PLC0415

    return Idleness(
        idle_ms=round(until_idle_s * 1000),
        timeout_ms=None if timeout_s is None else round(timeout_s * 1000),
        fail_on_dropped=fail_on_dropped,
        started_ms=clock_ms(asyncio.get_running_loop()),
    )


@asynccontextmanager
async def _endpoint(
    node: "Node", project: "Project", data_dir: "DataDir", log: "Log", listen: str
) -> AsyncIterator[None]:
    """Serve the API while the node runs, unless there is to be none."""
    from penstock.configuration import mask_function  # noqa: PLC0415
    from penstock.control.app import make_app  # noqa: PLC0415
    from penstock.control.server import is_loopback, serving, url_of  # noqa: PLC0415
    from penstock.control.server import listen as open_socket  # noqa: PLC0415

    if listen == "none":
        yield
        return
    socket = open_socket(listen)
    node.endpoint = url_of(socket)
    data_dir.write_endpoint(node.endpoint)
    loopback_only = is_loopback(socket)
    if not loopback_only:
        log.warning("the endpoint is open to other machines; it shows them the node's health alone")
    app = make_app(node, loopback_only=loopback_only, mask=mask_function(project.secrets))
    async with serving(app, socket):
        yield


def _check_listen(listen: str) -> None:
    from penstock.cli.failures import Wrong  # noqa: PLC0415
    from penstock.configuration import is_listen  # noqa: PLC0415

    if not is_listen(listen):
        raise Wrong(f"--listen is '{listen}'; wanted is HOST:PORT such as 127.0.0.1:3001, or none")
