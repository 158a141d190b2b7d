"""Error documents that the node itself writes, when an environment can no longer speak for itself (`§5.2`)."""

import os
import signal

import msgspec

from penstock.api import FunctionFailed

_SIGNAL_WORDS = {
    signal.SIGHUP: "hangup",
    signal.SIGINT: "interrupt",
    signal.SIGQUIT: "quit",
    signal.SIGILL: "illegal instruction",
    signal.SIGTRAP: "trace/breakpoint trap",
    signal.SIGABRT: "aborted",
    signal.SIGBUS: "bus error",
    signal.SIGFPE: "floating point exception",
    signal.SIGKILL: "killed",
    signal.SIGSEGV: "segmentation fault",
    signal.SIGPIPE: "broken pipe",
    signal.SIGALRM: "alarm clock",
    signal.SIGTERM: "terminated",
    signal.SIGXCPU: "CPU time limit exceeded",
    signal.SIGXFSZ: "file size limit exceeded",
}


class ErrorDocument(msgspec.Struct, frozen=True):
    """The two fields of an error document that the engine reads."""

    errorType: str = ""  # noqa: N815 - Lambda's own name
    errorMessage: str = ""  # noqa: N815 - the same


_decoder = msgspec.json.Decoder(ErrorDocument)


def failed(error_type: str, error_message: str, *, duration_ms: int) -> FunctionFailed:
    """Make a failure in the short form that Lambda uses for what the runtime did not report itself."""
    payload = msgspec.json.encode({"errorType": error_type, "errorMessage": error_message})
    return FunctionFailed(error_type=error_type, error_message=error_message, payload=payload, duration_ms=duration_ms)


def from_document(payload: bytes, *, request_id: str, duration_ms: int) -> FunctionFailed:
    """Take over an error document that an environment wrote."""
    try:
        document = _decoder.decode(payload)
    except msgspec.DecodeError:
        return unreadable(request_id, "its error document can not be read", duration_ms=duration_ms)
    return FunctionFailed(
        error_type=document.errorType, error_message=document.errorMessage, payload=payload, duration_ms=duration_ms
    )


def timed_out(request_id: str, timeout_ms: int, *, duration_ms: int) -> FunctionFailed:
    message = f"{_request(request_id)}Task timed out after {timeout_ms / 1000:.2f} seconds"
    return failed("Sandbox.Timedout", message, duration_ms=duration_ms)


def init_timed_out(request_id: str, timeout_ms: int, handler: str, *, duration_ms: int) -> FunctionFailed:
    message = (
        f"{_request(request_id)}Init timed out after {timeout_ms / 1000:.2f} seconds: "
        f"the import of '{handler}' had not ended"
    )
    return failed("Sandbox.Timedout", message, duration_ms=duration_ms)


def exited(request_id: str, status: int | None, *, duration_ms: int) -> FunctionFailed:
    """Describe the end of a process by its wait status; None where nobody could tell."""
    return failed("Runtime.ExitError", f"{_request(request_id)}{exit_words(status)}", duration_ms=duration_ms)


def exit_words(status: int | None) -> str:
    """Say how a process ended, in Lambda's words."""
    if status is None or status == 0:
        return "Runtime exited without providing a reason"
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"Runtime exited with error: exit status {code}"
    number = -code
    words = next((text for known, text in _SIGNAL_WORDS.items() if known == number), f"signal {number}")
    dumped = " (core dumped)" if os.WCOREDUMP(status) else ""
    return f"Runtime exited with error: signal: {words}{dumped}"


def unreadable(request_id: str, reason: str, *, duration_ms: int) -> FunctionFailed:
    """Describe an environment that broke the protocol: it closed its socket, or wrote into it."""
    message = f"{_request(request_id)}the environment gave no readable response: {reason}"
    return failed("Runtime.UnreadableResponse", message, duration_ms=duration_ms)


def _request(request_id: str) -> str:
    # An import that is only checked belongs to no request.
    return f"RequestId: {request_id} Error: " if request_id else ""
