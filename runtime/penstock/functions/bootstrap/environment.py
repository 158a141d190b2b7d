"""An environment: the process that loads one function and runs its invocations, one at a time.

It is entered just after the fork and never returned from.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import resource
import signal
import socket
import sys
import time
import traceback
from typing import Any, NoReturn

from penstock.functions.bootstrap import descendants, failures, frames, kernel, output
from penstock.functions.bootstrap.codec import Codec, ResponseNotJson
from penstock.functions.bootstrap.context import LambdaContext
from penstock.functions.bootstrap.handler import Handler, load

_BYTES_PER_MB = 1024 * 1024


def become(*, template_pid: int, mark: int, memory_mb: int | None) -> None:
    """Turn a fresh fork into a process of its own: session, mark, limits, signals, random numbers."""
    os.setsid()
    kernel.die_with_parent(signal.SIGKILL)
    if os.getppid() != template_pid:
        os._exit(1)
    descendants.bear(mark)
    if memory_mb is not None:
        # Private writable memory: what a function allocates. The address space as a whole would also count the code
        # and files that libraries map, and reservations that nothing ever touches.
        resource.setrlimit(resource.RLIMIT_DATA, (memory_mb * _BYTES_PER_MB, memory_mb * _BYTES_PER_MB))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    # `random` seeds itself after a fork.
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()


def prepare(setup: dict[str, Any]) -> None:
    """Make the process the function's: its variables, its folder, its search path."""
    os.environ.clear()
    os.environ.update(setup["environ"])
    time.tzset()
    os.chdir(setup["working_directory"])
    wanted = [
        entry.replace("{python}", f"python{sys.version_info[0]}.{sys.version_info[1]}")
        for entry in setup["search_path"]
    ]
    sys.path[:] = wanted + [entry for entry in sys.path if entry not in wanted]
    sys.argv = [setup["handler"]]
    output.set_up_logging()


def run(sock: socket.socket) -> NoReturn:
    """Load the function that the node's first frame describes, then serve until the node closes the socket."""
    channel = frames.FrameSocket(sock)
    code = 1
    try:
        code = _serve(channel)
    except SystemExit as error:
        code = _exit_code(error)
    except BrokenPipeError:
        code = 0
    except BaseException:  # noqa: BLE001 - a KeyboardInterrupt, or what else a handler may raise: it ends the process
        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            atexit._run_exitfuncs()  # noqa: SLF001 - os._exit skips them, and an exit must not wait for threads
        output.flush()
        os._exit(code)


def _serve(channel: frames.FrameSocket) -> int:
    first = channel.read()
    if first is None:
        return 0
    setup = json.loads(first.header)
    own_pid = os.getpid()
    try:
        try:
            prepare(setup)
        except OSError as error:
            raise failures.InitFailure(failures.from_exception(error)) from None
        handler = load(setup["handler"], setup["hint"])
    except failures.InitFailure as failed:
        output.report("ERROR", failures.as_text(failed.document))
        output.flush()
        channel.write(frames.INIT_FAILED, first.sequence, failures.encode(failed.document))
        return 1
    codec = Codec()
    output.flush()
    channel.write(frames.READY, first.sequence, b"")
    response_bytes_max = setup["response_bytes_max"]
    arn = setup["arn"]
    while True:
        frame = channel.read()
        if frame is None:
            return 0
        kind, body = _invoke(handler, codec, frame, arn)
        if len(body) > response_bytes_max:
            kind, body = frames.FAILED, _too_large(response_bytes_max)
        output.flush()
        if os.getpid() != own_pid:
            # The handler forked, and the copy came back as well. Only the original answers.
            os._exit(0)
        channel.write(kind, frame.sequence, body)


def _invoke(handler: Handler, codec: Codec, frame: frames.Frame, arn: str) -> tuple[int, bytes]:
    request_id, deadline_ms, trace_id, plain = frame.header.decode().split("\n")
    output.current_request_id = request_id
    os.environ["_X_AMZN_TRACE_ID"] = trace_id
    try:
        try:
            event = codec.read(frame.body, is_plain=plain == "1")
        except ValueError as error:
            failed = failures.document(
                "Runtime.UnmarshalError", f"Unable to unmarshal input: {error}", request_id=request_id
            )
        else:
            response = handler(event, LambdaContext(request_id, arn, int(deadline_ms)))
            del event
            return frames.RETURNED, codec.write(response)
    except ResponseNotJson as error:
        failed = failures.document(
            "Runtime.MarshalError", f"Unable to marshal response: {error}", request_id=request_id
        )
    except Exception as error:  # noqa: BLE001 - whatever the handler raises is the outcome
        failed = failures.from_exception(error, request_id)
    output.report("ERROR", failures.as_text(failed))
    return frames.FAILED, failures.encode(failed)


def _too_large(bytes_max: int) -> bytes:
    message = f"Response payload size exceeded maximum allowed payload size ({bytes_max} bytes)."
    too_large = {"errorType": "Function.ResponseSizeTooLarge", "errorMessage": message}
    output.report("ERROR", f"[ERROR] Function.ResponseSizeTooLarge: {message}")
    return json.dumps(too_large).encode()


def _exit_code(error: SystemExit) -> int:
    if error.code is None:
        return 0
    if isinstance(error.code, int):
        return error.code & 0xFF
    sys.stderr.write(f"{error.code}\n")
    return 1
