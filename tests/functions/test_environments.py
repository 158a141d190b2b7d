"""Environments: how many there are, what they share (nothing), and what they see."""

import asyncio
import json
import os
import re
import sys

import pytest

from penstock.api import FunctionFailed, Invocation
from penstock.functions import FunctionHost


def test_ten_environments_share_nothing(bench):
    spec = bench.function(
        """
        import os, random, socket, threading, time, uuid
        number = random.random()
        listening = socket.socket()
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        beats = []
        def beat():
            while True:
                beats.append(1)
                time.sleep(0.01)
        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        calls = []
        def handler(event, context):
            calls.append(event)
            while len(beats) < 3:
                time.sleep(0.01)
            time.sleep(0.3)
            return {"pid": os.getpid(), "number": number, "another": random.random(), "uuid": str(uuid.uuid4()),
                    "port": listening.getsockname()[1], "thread": thread.ident is not None and thread.is_alive(),
                    "stream": os.environ["AWS_LAMBDA_LOG_STREAM_NAME"], "calls": len(calls)}
        """
    )

    async def scenario(host: FunctionHost):
        executor = host.executor(spec, environments_max=10)
        results = await asyncio.gather(*(executor.invoke(bench.invocation()) for _ in range(10)))
        return [bench.value(result) for result in results]

    values = bench.run(scenario)

    for key in ("pid", "number", "another", "uuid", "port", "stream"):
        assert len({value[key] for value in values}) == 10, key
    assert all(value["thread"] for value in values)
    assert {value["calls"] for value in values} == {1}


def test_there_are_as_many_environments_as_are_in_flight_and_never_more_than_allowed(bench):
    spec = bench.function("import os, time\ndef handler(event, context): time.sleep(0.1); return os.getpid()")

    async def scenario(host: FunctionHost):
        executor = host.executor(spec, environments_max=3)
        counts = [executor.environments_count()]
        for at_once in (1, 2, 6):
            results = await asyncio.gather(*(executor.invoke(bench.invocation()) for _ in range(at_once)))
            counts.append(executor.environments_count())
        return counts, len({bench.value(result) for result in results})

    assert bench.run(scenario) == ([0, 1, 2, 3], 3)


def test_the_most_recently_used_environment_is_used_again(bench):
    spec = bench.function("import os, time\ndef handler(event, context): time.sleep(event); return os.getpid()")

    async def scenario(host: FunctionHost):
        executor = host.executor(spec, environments_max=2)
        _, slow = await asyncio.gather(*(executor.invoke(bench.invocation(delay)) for delay in (0, 0.2)))
        return bench.value(slow), {bench.value(await executor.invoke(bench.invocation(0))) for _ in range(5)}

    slow, later = bench.run(scenario)

    assert later == {slow}


def test_idle_environments_are_retired(bench):
    spec = bench.function("import os\ndef handler(event, context): return os.getpid()")

    async def scenario(host: FunctionHost):
        executor = host.executor(spec, environments_max=2)
        first = bench.value(await executor.invoke(bench.invocation()))
        await bench.until(lambda: executor.environments_count() == 0)
        return first, bench.is_alive(first), bench.value(await executor.invoke(bench.invocation()))

    first, is_left, second = bench.run(scenario, idle_timeout_s=0.2)

    assert not is_left
    assert second != first


def test_the_context_has_awss_attributes(bench):
    spec = bench.function(
        """
        import time
        def handler(event, context):
            remaining = context.get_remaining_time_in_millis()
            time.sleep(0.05)
            context.log("from the context")
            seen = {name: getattr(context, name) for name in (
                "function_name", "function_version", "invoked_function_arn", "memory_limit_in_mb", "aws_request_id",
                "log_group_name", "log_stream_name", "client_context")}
            return {**seen, "identity": context.identity.cognito_identity_id, "remaining": remaining,
                    "went_by": remaining - context.get_remaining_time_in_millis(), "is_int": type(remaining) is int}
        """,
        memory_mb=512,
        timeout_ms=5000,
    )

    async def scenario(host: FunctionHost):
        invocation = bench.invocation()
        executor = host.executor(spec, environments_max=1)
        return invocation.request_id, bench.value(await executor.invoke(invocation))

    request_id, seen = bench.run(scenario)

    assert seen["function_name"] == "billing"
    assert seen["function_version"] == "$LATEST"
    assert seen["invoked_function_arn"] == spec.arn
    assert seen["memory_limit_in_mb"] == "512"
    assert seen["aws_request_id"] == request_id
    assert seen["log_group_name"] == "/aws/lambda/billing"
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", seen["log_stream_name"])
    assert (seen["client_context"], seen["identity"]) == (None, None)
    assert 4000 < seen["remaining"] <= 5000
    assert 50 <= seen["went_by"] < 2000
    assert seen["is_int"]
    assert bench.log()[-1]["message"] == "from the context"


def test_the_variables_are_awss_the_functions_own_and_few_of_the_nodes(bench, monkeypatch):
    monkeypatch.setenv("SECRET_OF_THE_NODE", "hunter2")
    monkeypatch.setenv("WANTED", "yes")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    monkeypatch.setenv("PYTHONHASHSEED", "1")
    spec = bench.function(
        """
        import os, subprocess
        def handler(event, context):
            of_a_child = subprocess.run(["env"], capture_output=True, text=True).stdout
            return [dict(os.environ), "SECRET" in of_a_child, os.getcwd(), os.environ["_X_AMZN_TRACE_ID"]]
        """,
        region="eu-central-1",
        environment={"TABLE": "orders", "AWS_LAMBDA_FUNCTION_NAME": "not this"},
        inherit=("WANTED", "NOT_THERE"),
    )

    seen, is_leaked, working_directory, trace = bench.returned(spec)

    assert seen["TABLE"] == "orders"
    assert seen["WANTED"] == "yes"
    assert seen["HTTPS_PROXY"] == "http://proxy:3128"
    assert seen["PATH"] == os.environ["PATH"]
    assert {key: seen[key] for key in seen if re.match("AWS_(?!CA_BUNDLE)|_H|LAMBDA", key)} == {
        "AWS_REGION": "eu-central-1",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_EXECUTION_ENV": f"AWS_Lambda_python3.{sys.version_info.minor}",
        "AWS_LAMBDA_FUNCTION_NAME": "billing",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": seen["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"],
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/billing",
        "AWS_LAMBDA_LOG_STREAM_NAME": seen["AWS_LAMBDA_LOG_STREAM_NAME"],
        "_HANDLER": "app.handler",
        "LAMBDA_TASK_ROOT": str(spec.code),
    }
    assert not {"SECRET_OF_THE_NODE", "NOT_THERE", "PYTHONHASHSEED"} & set(seen)
    assert not is_leaked
    assert working_directory == str(spec.code)
    assert re.fullmatch(r"Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=0", trace)


def test_modules_are_found_in_the_code_then_pythonpath_then_the_layers(bench, tmp_path):
    places = {
        "code": tmp_path / "billing",
        "path": tmp_path / "path",
        "site": tmp_path / f"layer/python/lib/python3.{sys.version_info.minor}/site-packages",
        "python": tmp_path / "layer/python",
        "layer": tmp_path / "layer",
    }
    for name, folder in places.items():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"in_{name}.py").write_text("")
    for shared in ("code", "layer"):
        (places[shared] / "both.py").write_text(f"where = '{shared}'")
    (tmp_path / "layer/bin").mkdir()
    spec = bench.function(
        """
        import os, both, in_code, in_path, in_site, in_python, in_layer
        def handler(event, context): return [both.where, os.environ["PATH"]]
        """,
        layers=(tmp_path / "layer",),
        environment={"PYTHONPATH": str(places["path"])},
    )

    where, path = bench.returned(spec)

    assert where == "code"
    assert path.startswith(f"{tmp_path}/layer/bin:")


def test_a_function_over_its_memory_fails_and_the_next_invocation_works(bench):
    spec = bench.function("def handler(event, context): return len(bytearray(event * 1024 * 1024))", memory_mb=128)

    small, large, again = bench.invoke(spec, 16, 500, 16)

    assert bench.value(small) == bench.value(again) == 16 * 1024 * 1024
    assert isinstance(large, FunctionFailed)
    assert large.error_type == "MemoryError"


def test_a_function_that_dies_of_its_memory_is_an_exit(bench):
    spec = bench.function(
        """
        import ctypes
        def handler(event, context):
            libc = ctypes.CDLL(None)
            libc.malloc.restype = ctypes.c_void_p
            libc.malloc.argtypes = [ctypes.c_size_t]
            ctypes.memset(libc.malloc(500 * 1024 * 1024), 1, 10)
        """,
        memory_mb=128,
    )

    assert bench.failed(spec).error_message.removesuffix(" (core dumped)").endswith("segmentation fault")


def test_without_a_limit_the_context_tells_the_machines_memory(bench):
    spec = bench.function("def handler(event, context): return context.memory_limit_in_mb")

    machine_mb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1024**2

    assert bench.returned(spec) == str(machine_mb)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_many_invocations_at_once_of_all_sizes_each_get_their_own_answer(bench, loop):
    spec = bench.function(
        """
        def handler(event, context):
            print(context.aws_request_id)
            return [context.aws_request_id, event * 2]
        """
    )

    async def main() -> None:
        async with FunctionHost(data_dir=bench.data_dir) as host:
            executor = host.executor(spec, environments_max=4)

            async def one(number: int) -> None:
                text = f"{number}," * (number * 997 % 90_000)
                invocation = bench.invocation(text)
                request_id, doubled = bench.value(await executor.invoke(invocation))
                assert (request_id, doubled) == (invocation.request_id, text * 2)

            await asyncio.gather(*(one(number) for number in range(100)))

    if loop == "uvloop":
        import uvloop  # noqa: PLC0415 - where it is installed

        uvloop.run(main())
    else:
        asyncio.run(main())
    lines = bench.log()
    assert len(lines) == 100
    assert all(line["message"] == line["request_id"] for line in lines)


def test_an_idle_node_with_its_template_and_an_environment_is_small(bench):
    spec = bench.function("import os\ndef handler(event, context): return os.getpid()")

    def share_mb(pid: int) -> float:
        with open(f"/proc/{pid}/smaps_rollup") as rollup:  # noqa: PTH123 - a file of the kernel's
            return next(int(line.split()[1]) / 1024 for line in rollup if line.startswith("Pss:"))

    async def scenario(host: FunctionHost):
        executor = host.executor(spec, environments_max=1)
        await executor.invoke(bench.invocation())
        return sum(map(share_mb, [*host.template_pids(), *executor.pids()]))

    assert bench.run(scenario) < 40


def test_an_executor_tells_the_bytes_of_an_event_from_the_text(bench):
    # An event is bytes to the node: it is neither read nor written anew on its way.
    spec = bench.function("def handler(event, context): return list(event)")

    assert bench.returned(spec, b'{ "b" : 1 ,"a":2, "b":3}') == ["b", "a"]
    assert json.dumps(bench.returned(spec, '"\u00e9"')) == '["\\"", "\\u00e9", "\\""]'


def test_what_is_cancelled_before_it_is_handed_over_is_never_run(bench, tmp_path):
    trace = tmp_path / "trace"
    spec = bench.function(f"def handler(event, context): open({str(trace)!r}, 'a').write(str(event))")

    async def scenario(host: FunctionHost):
        executor = host.executor(spec, environments_max=1)
        reached = asyncio.Event()

        async def wait_for_ever():
            reached.set()
            await asyncio.Event().wait()

        doubtful = asyncio.create_task(executor.invoke(Invocation("a", b"1", wait_for_ever)))
        await reached.wait()
        doubtful.cancel()
        await asyncio.wait({doubtful})
        await executor.invoke(Invocation("b", b"2"))
        return doubtful.cancelled()

    assert bench.run(scenario)
    assert trace.read_text() == "2"
