"""Loading a function: once per environment, after the fork, and in AWS's words where it fails."""

import json

import pytest

from penstock.api import FunctionFailed, FunctionSpec, PenstockError
from penstock.functions import FunctionHost
from penstock.functions import environment as environment_module


@pytest.mark.parametrize(
    ("source", "handler", "error_type", "message"),
    [
        ("x = 1", "app.handler", "Runtime.HandlerNotFound", "Handler 'handler' missing on module 'app'"),
        (
            "handler = 1",
            "app.handler",
            "Runtime.HandlerNotFound",
            "Handler 'handler' on module 'app' is not callable: its type is int",
        ),
        (
            "x = 1",
            "handler",
            "Runtime.MalformedHandlerName",
            "Bad handler 'handler': not enough values to unpack (expected 2, got 1)",
        ),
        (
            "x = 1",
            "sys.exit",
            "Runtime.BuiltInModuleConflict",
            "Cannot use built-in module sys as a handler module",
        ),
        (
            "from json import nothing",
            "app.handler",
            "Runtime.ImportModuleError",
            "Unable to import module 'app': cannot import name 'nothing' from 'json'",
        ),
        ("raise OSError('no disk')", "app.handler", "OSError", "no disk"),
        (
            "def handler(:",
            "app.handler",
            "Runtime.UserCodeSyntaxError",
            "Syntax error in module 'app': invalid syntax (app.py, line 1)",
        ),
    ],
)
def test_a_function_that_can_not_be_loaded_says_why(bench, source, handler, error_type, message):
    failed = bench.failed(bench.function(source, handler=handler))
    document = json.loads(failed.payload)

    assert failed.error_type == error_type
    assert failed.error_message.startswith(message)
    assert document["requestId"] == ""
    assert (document["errorType"], document["errorMessage"]) == (failed.error_type, failed.error_message)


def test_a_missing_module_says_where_python_and_layers_point(bench, tmp_path):
    layer = tmp_path / "layer"
    layer.mkdir()

    without = bench.failed(bench.function("import powertools")).error_message
    with_layer = bench.failed(bench.function("import powertools", layers=(layer,))).error_message

    assert without.startswith("Unable to import module 'app': No module named 'powertools'")
    assert "Python: is not set" in without
    assert "Layers: is not set" in without
    assert f"Layers: is {layer}" in with_layer


def test_an_exception_during_the_import_has_its_trace(bench):
    failed = bench.failed(bench.function("import json\njson.loads('{')\ndef handler(event, context): pass"))

    trace = json.loads(failed.payload)["stackTrace"]

    assert any('app.py", line 2, in <module>' in entry for entry in trace)
    assert not any("penstock" in entry for entry in trace)


def test_each_invocation_tries_again_to_load(bench):
    spec = bench.function(
        """
        import pathlib
        tried = pathlib.Path("tried")
        if not tried.exists():
            tried.touch()
            raise RuntimeError("not yet")
        def handler(event, context): return "loaded"
        """
    )

    first, second = bench.invoke(spec, 1, 2)

    assert first.error_message == "not yet"
    assert bench.value(second) == "loaded"


def test_an_exit_during_the_import_is_an_exit(bench):
    failed = bench.failed(bench.function("import sys\nsys.exit('no licence')"))

    assert failed.error_type == "Runtime.ExitError"
    assert failed.error_message.endswith("Error: Runtime exited with error: exit status 1")


def test_an_import_that_does_not_end_is_given_up(bench, monkeypatch):
    monkeypatch.setattr(environment_module, "INIT_TIMEOUT_MS", 300)

    failed = bench.failed(bench.function("import time\ntime.sleep(60)"))

    assert failed.error_type == "Sandbox.Timedout"
    assert "Init timed out after 0.30 seconds: the import of 'app.handler' had not ended" in failed.error_message


def test_a_handler_may_live_in_a_package_and_be_named_with_slashes(bench):
    spec = bench.function("", handler="lib/deep.run")
    (spec.code / "lib").mkdir()
    (spec.code / "lib" / "deep.py").write_text("def run(event, context): return __name__")

    assert bench.returned(spec) == "lib.deep"


def test_a_function_may_have_modules_of_the_same_names_as_ours(bench):
    spec = bench.function(
        """
        import sys, context, frames, template
        def handler(event, context_):
            return [context.mine, frames.mine, template.mine, [name for name in sys.modules if "penstock" in name]]
        """
    )
    for name in ("context", "frames", "template"):
        (spec.code / f"{name}.py").write_text(f"mine = '{name}'")

    assert bench.returned(spec) == ["context", "frames", "template", []]


def test_a_folder_that_is_not_there_is_refused_when_the_executor_opens(bench, tmp_path):
    spec = FunctionSpec(name="f", handler="app.handler", code=tmp_path / "nowhere", arn="arn")

    with pytest.raises(PenstockError, match=r"function 'f': CodeUri .*nowhere is not a folder"):
        bench.invoke(spec)


def test_preloaded_code_is_imported_once_for_all_environments(bench):
    spec = bench.function(
        """
        import os, random
        imported_by = os.getpid()
        print("imported")
        def handler(event, context):
            import time
            time.sleep(0.2)
            return [imported_by, os.getpid(), random.random(), os.getcwd(), os.environ["COLOUR"]]
        """,
        preload=True,
        environment={"COLOUR": "blue"},
    )

    async def scenario(host: FunctionHost):
        import asyncio  # noqa: PLC0415 - only here

        executor = host.executor(spec, environments_max=3)
        await executor.open()
        results = await asyncio.gather(*(executor.invoke(bench.invocation()) for _ in range(3)))
        return [bench.value(result) for result in results], host.template_pids()

    values, templates = bench.run(scenario)

    assert [[value[0]] for value in values] == [templates] * 3
    assert len({value[1] for value in values}) == 3
    assert len({value[2] for value in values}) == 3
    assert {value[3] for value in values} == {str(spec.code)}
    assert {value[4] for value in values} == {"blue"}
    assert [line["message"] for line in bench.log()] == ["imported"]


@pytest.mark.parametrize(
    ("left_open", "words"),
    [
        (
            "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True, name='beat').start()",
            "left 1 thread running (beat)",
        ),
        ("import socket\nkept = socket.socket()", "left 1 socket open"),
        ("import subprocess\nkept = subprocess.Popen(['sleep', '60'])", "left 1 child process"),
    ],
)
def test_preloading_what_can_not_be_shared_is_refused(bench, left_open, words):
    failed = bench.failed(bench.function(f"{left_open}\ndef handler(event, context): pass", preload=True))

    assert failed.error_type == "Runtime.PreloadRefused"
    assert words in failed.error_message
    assert json.loads(failed.payload)["errorMessage"] == failed.error_message


def test_preloaded_code_that_fails_says_so_at_each_invocation(bench):
    spec = bench.function("import powertools", preload=True)

    results = bench.invoke(spec, 1, 2)

    assert all(isinstance(result, FunctionFailed) for result in results)
    assert {result.error_type for result in results} == {"Runtime.ImportModuleError"}


def test_preloaded_code_that_never_ends_is_given_up(bench, monkeypatch):
    monkeypatch.setattr(environment_module, "INIT_TIMEOUT_MS", 300)

    failed = bench.failed(bench.function("import time\ntime.sleep(60)", preload=True))

    assert failed.error_type == "Sandbox.Timedout"


def test_preloaded_code_that_exits_is_an_exit(bench):
    failed = bench.failed(bench.function("import os\nos._exit(7)", preload=True))

    assert failed.error_type == "Runtime.ExitError"
    assert failed.error_message.endswith("exit status 7")
