"""What is told about a function before it is needed."""

import venv

import pytest

from penstock.functions import FunctionHost, check_code, check_import


def texts(spec):
    return [str(problem) for problem in check_code(spec)]


def test_a_function_with_nothing_wrong_has_no_problem(bench):
    spec = bench.function("def handler(event, context): pass")

    assert check_code(spec) == []
    assert bench.run(lambda host: check_import(host, spec)) is None


def test_a_syntax_error_has_its_file_and_line(bench):
    spec = bench.function("x = 1\ndef handler(event, context:\n    pass\n")

    (problem,) = check_code(spec)

    assert (problem.setting, problem.file, problem.line) == ("Handler", spec.code / "app.py", 2)
    assert str(problem) == f"Handler: syntax error: '(' was never closed ({spec.code}/app.py:2)"


def test_the_syntax_is_that_of_the_functions_interpreter(bench, tmp_path):
    venv.create(tmp_path / "venv", symlinks=True)

    (problem,) = check_code(bench.function("x = = 1\n", python=tmp_path / "venv"))

    assert (problem.problem, problem.line) == ("syntax error: invalid syntax", 1)
    assert check_code(bench.function("x = 1\n", python=tmp_path / "venv")) == []


def test_a_handler_whose_file_is_not_there_is_named(bench):
    spec = bench.function("", handler="billing.handler")

    problem = f"Handler: is 'billing.handler', but there is no billing.py in {spec.code}"
    assert texts(spec) == [f"{problem}; module.function of a file below CodeUri"]


@pytest.mark.parametrize("handler", ["handler", "", ".handler", "app."])
def test_a_malformed_handler_is_named(bench, handler):
    assert texts(bench.function("", handler=handler)) == [f"Handler: is '{handler}'; module.function"]


def test_a_handler_may_come_from_a_layer_or_an_installed_package(bench, tmp_path):
    (tmp_path / "layer" / "python" / "package").mkdir(parents=True)
    (tmp_path / "layer" / "python" / "package" / "__init__.py").write_text("def handler(e, c): pass")

    assert texts(bench.function("", handler="package.handler", layers=(tmp_path / "layer",))) == []
    assert texts(bench.function("", handler="msgspec.json.decode")) == []


def test_folders_and_interpreters_that_are_not_there_are_named(bench, tmp_path):
    spec = bench.function("def handler(e, c): pass", layers=(tmp_path / "layer",), python=tmp_path / "venv")

    assert texts(spec) == [
        f"Layers: {tmp_path}/layer is not a folder",
        f"Python: {tmp_path}/venv is not there; give an interpreter or a virtual environment",
    ]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("x = 1", "Runtime.HandlerNotFound: Handler 'handler' missing on module 'app'"),
        (
            "handler = 'text'",
            "Runtime.HandlerNotFound: Handler 'handler' on module 'app' is not callable: its type is str",
        ),
        ("import powertools", "Runtime.ImportModuleError: Unable to import module 'app': No module named 'powertools'"),
        ("raise RuntimeError('no')", "RuntimeError: no"),
    ],
)
def test_an_import_tells_what_only_an_import_can(bench, source, words):
    async def scenario(host: FunctionHost):
        return await check_import(host, bench.function(source))

    assert bench.run(scenario).startswith(words)


def test_an_import_check_leaves_no_environment_and_invokes_nothing(bench):
    spec = bench.function("import pathlib\ndef handler(event, context): pathlib.Path('invoked').touch()")

    async def scenario(host: FunctionHost):
        return await check_import(host, spec), host._executors

    assert bench.run(scenario) == (None, [])
    assert not (spec.code / "invoked").exists()
