"""How an invocation ends that does not return: killed, exited, broken, or ended by the node."""

import asyncio
import contextlib
import json
import os
import signal
import time

import pytest

from penstock.api import FunctionFailed, NotRun, Returned
from penstock.functions import FunctionHost

PID = "import os\ndef handler(event, context): return os.getpid()\n"


def test_a_handler_past_its_timeout_is_killed_and_the_next_invocation_is_fresh(bench):
    spec = bench.function(
        """
        import os, time
        calls = []
        def handler(event, context):
            calls.append(event)
            if event == "slow":
                time.sleep(60)
            return [os.getpid(), calls]
        """,
        timeout_ms=1000,
    )

    async def scenario(host: FunctionHost):
        executor = host.executor(spec, environments_max=1)
        before = bench.value(await executor.invoke(bench.invocation("quick")))
        invocation = bench.invocation("slow")
        started_s = time.monotonic()
        failed = await executor.invoke(invocation)
        took_s = time.monotonic() - started_s
        is_left = bench.is_alive(before[0])
        after = bench.value(await executor.invoke(bench.invocation("quick")))
        return before, invocation.request_id, failed, took_s, is_left, after

    before, request_id, failed, took_s, is_left, after = bench.run(scenario)

    assert json.loads(failed.payload) == {
        "errorType": "Sandbox.Timedout",
        "errorMessage": f"RequestId: {request_id} Error: Task timed out after 1.00 seconds",
    }
    assert 1.0 <= took_s < 1.5
    assert not is_left
    assert after[0] != before[0]
    assert after[1] == ["quick"]


def test_a_timeout_holds_against_code_that_never_lets_go(bench):
    spec = bench.function(
        """
        import signal
        def handler(event, context):
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
                signal.signal(number, signal.SIG_IGN)
            9 ** 9 ** 9
        """,
        timeout_ms=300,
    )

    assert bench.failed(spec).error_type == "Sandbox.Timedout"


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("os._exit(0)", "Runtime exited without providing a reason"),
        ("os._exit(127)", "Runtime exited with error: exit status 127"),
        ("sys.exit()", "Runtime exited without providing a reason"),
        ("sys.exit(3)", "Runtime exited with error: exit status 3"),
        ("sys.exit('a reason')", "Runtime exited with error: exit status 1"),
        ("raise KeyboardInterrupt", "Runtime exited with error: exit status 1"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "Runtime exited with error: signal: killed"),
        ("os.kill(os.getpid(), signal.SIGTERM)", "Runtime exited with error: signal: terminated"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "Runtime exited with error: signal: segmentation fault"),
        ("os.abort()", "Runtime exited with error: signal: aborted"),
        ("os.killpg(0, signal.SIGKILL)", "Runtime exited with error: signal: killed"),
        ("os.closerange(3, 65536)", "Runtime exited with error: exit status 1"),
        ("os.closerange(0, 65536)", "Runtime exited with error: exit status 1"),
    ],
)
def test_an_environment_that_ends_says_how(bench, statement, words):
    spec = bench.function(f"import os, resource, signal, sys\ndef handler(event, context): {statement}")

    failed = bench.failed(spec)

    assert failed.error_type == "Runtime.ExitError"
    assert failed.error_message.removesuffix(" (core dumped)").endswith(f" Error: {words}")
    assert json.loads(failed.payload)["errorMessage"].startswith("RequestId: ")


def test_an_environment_that_was_killed_from_outside_is_replaced(bench):
    spec = bench.function(PID)

    async def scenario(host: FunctionHost):
        executor = host.executor(spec, environments_max=1)
        first = bench.value(await executor.invoke(bench.invocation()))
        os.kill(first, signal.SIGKILL)
        await bench.until(lambda: not bench.is_alive(first))
        await bench.until(lambda: executor.environments_count() == 0)
        return first, await executor.invoke(bench.invocation()), executor.environments_count()

    first, second, count = bench.run(scenario)

    assert bench.value(second) != first
    assert count == 1


def test_an_environment_killed_while_it_runs_is_one_failed_attempt(bench):
    spec = bench.function(
        """
        import os, pathlib, time
        def handler(event, context):
            pathlib.Path("pid").write_text(str(os.getpid()))
            time.sleep(60)
        """
    )

    async def scenario(host: FunctionHost):
        executor = host.executor(spec, environments_max=1)
        running = asyncio.ensure_future(executor.invoke(bench.invocation()))
        pid = spec.code / "pid"
        await bench.until(lambda: pid.exists() and pid.read_text())
        os.kill(int(pid.read_text()), signal.SIGKILL)
        return await running

    failed = bench.run(scenario)

    assert isinstance(failed, FunctionFailed)
    assert failed.error_message.endswith("Runtime exited with error: signal: killed")


# A function finds its own socket, and writes into it what is no frame of ours.
MEDDLE = """
import os, socket, time
def sockets():
    for descriptor in range(3, 256):
        try:
            if os.readlink(f"/proc/self/fd/{descriptor}").startswith("socket:"):
                yield descriptor
        except OSError:
            pass
def handler(event, context):
    for descriptor in sockets():
        os.write(descriptor, bytes.fromhex(event))
    time.sleep(60)
"""


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("00" * 64, "it sent something that is not a response"),
        ("ff" * 70_000, "it sent something that is not a response"),
        ("05" + "00000002" + "00000000" + "7fffffff", "it sent something that is not a response"),
        ("05" + "00000063" + "00000000" + "00000000", "it answered what was not asked"),
        ("03" + "00000002" + "00000000" + "00000000", "it answered out of turn"),
        ("06" + "00000002" + "00000000" + "00000001" + "7b", "its error document can not be read"),
    ],
)
def test_what_is_no_response_ends_the_environment_and_nothing_else(bench, written, words):
    spec = bench.function(MEDDLE)

    failed = bench.failed(spec, written)

    assert failed.error_type == "Runtime.UnreadableResponse"
    assert failed.error_message.endswith(words)


def test_an_environment_that_closes_its_socket_and_stays_is_ended(bench):
    spec = bench.function("import os, time\ndef handler(event, context): os.closerange(3, 256); time.sleep(60)")

    failed = bench.failed(spec)

    assert failed.error_type == "Runtime.UnreadableResponse"
    assert failed.error_message.endswith("it closed its socket")


def test_a_handler_that_forks_answers_once(bench):
    spec = bench.function(
        """
        import os
        def handler(event, context):
            child = os.fork()
            if child:
                os.waitpid(child, 0)
            return "parent" if child else "child"
        """
    )

    results = bench.invoke(spec, 1, 2, 3)

    assert [bench.value(result) for result in results] == ["parent"] * 3


def test_a_handler_that_reaps_children_does_not_hide_its_own_end(bench):
    spec = bench.function(
        """
        import os, signal
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        def handler(event, context):
            os._exit(9)
        """
    )

    assert bench.failed(spec).error_message.endswith("exit status 9")


def test_a_function_that_kills_its_template_fails_and_the_next_gets_a_new_one(bench):
    spec = bench.function(
        """
        import os, signal, time
        def handler(event, context):
            if event:
                os.kill(os.getppid(), signal.SIGKILL)
                time.sleep(60)
            return os.getppid()
        """
    )

    before, failed, after = bench.invoke(spec, 0, 1, 0)

    assert isinstance(failed, FunctionFailed), failed
    assert failed.error_message.endswith("Runtime exited with error: signal: killed")
    assert bench.value(before) != bench.value(after)


def test_a_killed_template_is_not_held_against_the_functions_that_ran_beside(bench):
    source = """
        import os, pathlib, time
        def handler(event, context):
            pathlib.Path("running").touch()
            if event:
                time.sleep(60)
            return os.getppid()
        """
    one, two = bench.function(source, name="one"), bench.function(source, name="two")

    async def scenario(host: FunctionHost):
        executors = [host.executor(spec, environments_max=1) for spec in (one, two)]
        running = [asyncio.ensure_future(executor.invoke(bench.invocation(1))) for executor in executors]
        await bench.until(lambda: (one.code / "running").exists() and (two.code / "running").exists())
        os.kill(host.template_pids()[0], signal.SIGKILL)
        results = await asyncio.gather(*running)
        later = [bench.value(await executor.invoke(bench.invocation(0))) for executor in executors]
        return results, later

    results, later = bench.run(scenario)

    assert all(isinstance(result, NotRun) for result in results), results
    # From then on whoever does it can be told.
    assert later[0] != later[1]


def test_a_stopped_template_holds_up_no_deadline(bench):
    spec = bench.function(
        """
        import os, signal, time
        def handler(event, context):
            os.kill(os.getppid(), signal.SIGSTOP)
            time.sleep(60)
        """,
        timeout_ms=300,
    )
    started_s = time.monotonic()

    failed = bench.failed(spec)

    assert failed.error_type == "Sandbox.Timedout"
    assert time.monotonic() - started_s < 8


def test_a_fork_that_fails_is_no_attempt(bench):
    # Root is not held to any limit on processes, so the template's answer is given in its place.
    spec = bench.function(PID)

    async def scenario(host: FunctionHost):
        executor = host.executor(spec, environments_max=1)
        await executor.open()
        template = next(iter(host._templates.values()))
        forked = template.fork
        template.fork = lambda environment, **_: environment.on_not_forked("Resource temporarily unavailable")
        not_run = await executor.invoke(bench.invocation())
        template.fork = forked
        return not_run, await executor.invoke(bench.invocation())

    not_run, later = bench.run(scenario)

    assert not_run == NotRun(
        "no process could be started: Resource temporarily unavailable", retry_after_ms=not_run.retry_after_ms
    )
    assert isinstance(later, Returned)


@pytest.mark.parametrize("when", ["while it runs", "while it loads"])
def test_a_cancelled_invocation_has_no_process_when_the_call_returns(bench, when):
    wait = "\nimport pathlib, time\npathlib.Path('pid').write_text(str(os.getpid()))\ntime.sleep(60)\n"
    source = "import os" + (
        wait + "def handler(event, context): pass\n"
        if when == "while it loads"
        else "\ndef handler(event, context):" + wait.replace("\n", "\n    ")
    )
    spec = bench.function(source)

    async def scenario(host: FunctionHost):
        executor = host.executor(spec, environments_max=1)
        running = asyncio.ensure_future(executor.invoke(bench.invocation()))
        pid = spec.code / "pid"
        await bench.until(lambda: pid.exists() and pid.read_text())
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        return running.cancelled(), bench.is_alive(int(pid.read_text())), executor.environments_count()

    assert bench.run(scenario) == (True, False, 0)


def test_an_invocation_that_runs_when_the_node_ends_is_no_attempt(bench):
    spec = bench.function(
        "import pathlib, time\ndef handler(event, context): pathlib.Path('running').touch(); time.sleep(60)"
    )

    async def scenario(host: FunctionHost):
        executor = host.executor(spec, environments_max=1)
        running = asyncio.ensure_future(executor.invoke(bench.invocation()))
        await bench.until((spec.code / "running").exists)
        await executor.close()
        return await running, await executor.invoke(bench.invocation())

    running, later = bench.run(scenario)

    assert running == NotRun("the node ended the invocation")
    assert later == NotRun("the node is ending its environments")
