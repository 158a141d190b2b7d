"""What a function prints and logs: into its log, with the invocation's id, bounded, and not lost."""

import io
import json

from penstock.functions import FunctionHost
from penstock.functions.output import LINE_BYTES_MAX


def messages(bench, **wanted):
    return [line["message"] for line in bench.log() if all(line.get(key) == value for key, value in wanted.items())]


def test_print_logging_and_children_go_to_the_functions_log_with_the_request_id(bench):
    spec = bench.function(
        """
        import logging, subprocess, sys
        logging.getLogger().setLevel("INFO")
        print("while loading")
        def handler(event, context):
            print("printed\\ntwice")
            print("complained", file=sys.stderr)
            logging.info("logged %s\\nin two lines", event)
            logging.debug("not this")
            logging.getLogger("a.b").warning("warned")
            subprocess.run(["sh", "-c", "echo from a child; echo and its error >&2"])
        """
    )

    async def scenario(host: FunctionHost):
        executor = host.executor(spec, environments_max=1)
        invocations = [bench.invocation(number) for number in range(3)]
        for invocation in invocations:
            await executor.invoke(invocation)
        return [invocation.request_id for invocation in invocations]

    request_ids = bench.run(scenario)

    for number, request_id in enumerate(request_ids):
        seen = [(line["stream"], line["message"]) for line in bench.log() if line["request_id"] == request_id]
        if number == 0:
            seen.remove(("stdout", "while loading"))
        assert sorted(seen) == [
            ("logging", f"logged {number}\nin two lines"),
            ("logging", "warned"),
            ("stderr", "and its error"),
            ("stderr", "complained"),
            ("stdout", "from a child"),
            ("stdout", "printed"),
            ("stdout", "twice"),
        ]
    assert {line["function"] for line in bench.log()} == {"billing"}
    assert len({line["environment"] for line in bench.log()}) == 1
    assert messages(bench, level="WARNING") == ["warned"] * 3
    assert all(line["time"].endswith("Z") for line in bench.log())


def test_the_root_loggers_handler_and_level_are_awss(bench):
    spec = bench.function(
        """
        import logging
        def handler(event, context):
            root = logging.getLogger()
            logging.basicConfig(level="DEBUG")
            logging.info("below the level")
            handlers = len(root.handlers)
            level = root.level
            for each in root.handlers:
                each.setFormatter(logging.Formatter("%(levelname)s %(aws_request_id)s %(message)s"))
            logging.error("formatted")
            try:
                1 / 0
            except ZeroDivisionError:
                logging.exception("caught")
            return [handlers, level]
        """
    )

    assert bench.returned(spec) == [1, 30]
    formatted, caught = bench.log()
    assert formatted["message"] == f"ERROR {formatted['request_id']} formatted"
    assert "ZeroDivisionError: division by zero" in caught["message"]


def test_a_level_may_be_asked_for_by_variable(bench):
    spec = bench.function(
        "import logging\ndef handler(event, context): logging.info('heard')",
        environment={"AWS_LAMBDA_LOG_LEVEL": "info"},
    )

    bench.invoke(spec)

    assert messages(bench, level="INFO") == ["heard"]


def test_lines_before_a_crash_are_not_lost(bench):
    spec = bench.function(
        """
        import os
        def handler(event, context):
            for number in range(1000):
                print("line", number)
            os.kill(os.getpid(), 9)
        """
    )

    failed = bench.failed(spec)

    assert messages(bench, stream="stdout") == [f"line {number}" for number in range(1000)]
    assert messages(bench, stream="platform") == [failed.error_message]


def test_an_exception_is_logged_with_its_trace(bench):
    bench.failed(bench.function("def handler(event, context): raise ValueError('bad')"))

    (message,) = messages(bench, level="ERROR")

    assert message.startswith("[ERROR] ValueError: bad\nTraceback (most recent call last):\n  File ")


def test_text_without_a_line_break_comes_with_its_invocation(bench):
    spec = bench.function("def handler(event, context): print(event, end='')")

    bench.invoke(spec, "one", "two")

    assert "".join(messages(bench, stream="stdout")) == "onetwo"


def test_a_long_line_is_cut_and_says_so(bench):
    spec = bench.function("def handler(event, context): print('x' * 1_000_000); print('after')")

    bench.invoke(spec)

    long, after = messages(bench, stream="stdout")
    assert long == "x" * LINE_BYTES_MAX + f"… ({1_000_000 - LINE_BYTES_MAX} bytes cut)"
    assert after == "after"


def test_a_long_record_of_logging_is_cut_and_says_so(bench):
    bench.invoke(bench.function("import logging\ndef handler(event, context): logging.error('x' * 1_000_000)"))

    (message,) = messages(bench, stream="logging")

    assert message.endswith("characters cut)")
    assert len(message) < LINE_BYTES_MAX


def test_bytes_that_are_no_text_are_kept_as_well_as_they_can_be(bench):
    bench.invoke(bench.function("import os\ndef handler(event, context): os.write(1, b'\\xff\\x00 \\x1enot json\\n')"))

    assert messages(bench) == ["\ufffd\x00 \x1enot json"]


def test_a_function_that_prints_a_hundred_megabytes_costs_a_few_files_and_no_memory(bench):
    import resource  # noqa: PLC0415 - only here

    spec = bench.function(
        """
        def handler(event, context):
            line = "x" * 999
            for _ in range(100_000):
                print(line)
        """,
        timeout_ms=60_000,
    )
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    (result,) = bench.invoke(spec)

    assert bench.value(result) is None
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 20_000
    files = sorted((bench.data_dir / "logs").iterdir())
    assert [file.name for file in files] == ["billing.log", *(f"billing.log.{number}" for number in range(1, 5))]
    assert all(file.stat().st_size <= 10_000_000 for file in files)


def test_rotated_files_hold_the_newest_lines_in_order(bench):
    spec = bench.function("def handler(event, context): [print(f'{number:0>200}') for number in range(event)]")

    bench.invoke(spec, 1000, log_file_bytes_max=100_000, log_files_max=3)

    folder = bench.data_dir / "logs"
    numbers = [
        int(json.loads(line)["message"])
        for name in ("billing.log.2", "billing.log.1", "billing.log")
        for line in (folder / name).read_text().splitlines()
    ]
    assert numbers == list(range(numbers[0], 1000))
    assert len(list(folder.iterdir())) == 3


def test_the_tail_of_an_invocation_is_its_last_four_kilobytes(bench):
    spec = bench.function("def handler(event, context): [print(event, number) for number in range(1000)]")

    async def scenario(host: FunctionHost):
        executor = host.executor(spec, environments_max=1)
        invocations = [bench.invocation(word) for word in ("first", "second")]
        for invocation in invocations:
            await executor.invoke(invocation)
        return [executor.log_tail(invocation.request_id) for invocation in invocations] + [executor.log_tail("other")]

    first, second, other = bench.run(scenario)

    assert first.endswith(b"first 998\nfirst 999\n")
    assert second.endswith(b"second 998\nsecond 999\n")
    assert len(first) == len(second) == 4096
    assert b"first" not in second
    assert other == b""


def test_output_can_go_to_the_nodes_standard_output(bench):
    out = io.BytesIO()

    bench.invoke(bench.function("def handler(event, context): print('hello')"), logs="stdout", stdout=out)

    (line,) = map(json.loads, out.getvalue().splitlines())
    assert (line["function"], line["message"]) == ("billing", "hello")
    assert not (bench.data_dir / "logs").exists()


def test_output_can_go_to_both(bench):
    out = io.BytesIO()

    bench.invoke(bench.function("def handler(event, context): print('hello')"), logs="both", stdout=out)

    assert out.getvalue() == (bench.data_dir / "logs" / "billing.log").read_bytes()


def test_a_log_that_can_not_be_written_stops_no_function(bench):
    bench.data_dir.mkdir()
    (bench.data_dir / "logs").write_text("a file where the folder would be")

    assert bench.returned(bench.function("def handler(event, context): print('lost'); return 1")) == 1


def test_a_function_may_close_its_standard_output_and_still_log(bench):
    spec = bench.function(
        """
        import logging, os
        def handler(event, context):
            os.close(1)
            os.close(2)
            logging.error("still here")
            return 1
        """
    )

    assert bench.returned(spec) == 1
    assert messages(bench) == ["still here"]
