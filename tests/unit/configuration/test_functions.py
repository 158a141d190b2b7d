"""Functions: what they become, `Globals`, and what can be told of their code without running it."""

# ruff: noqa: E501 - a message is quoted whole, in one line

import os
import sys
from pathlib import Path

import pytest

from penstock.api import FunctionSpec

HEAD = "Functions:\n  billing:\n    CodeUri: code\n    Handler: app.handler\n"


def spec_of(folder, *lines: str, head: str = "") -> FunctionSpec:
    text = head + HEAD + "".join(f"    {line}\n" for line in lines)
    return folder.load(text).functions["billing"].spec


def test_a_function_has_lambdas_defaults(folder):
    assert spec_of(folder) == FunctionSpec(
        name="billing",
        handler="app.handler",
        code=folder.path / "code",
        arn="arn:aws:lambda:us-east-1:000000000000:function:billing",
    )


def test_every_setting_of_a_function_arrives(folder):
    (folder.path / "layers/a").mkdir(parents=True)
    project = folder.load(
        HEAD + f"    Python: {sys.executable}\n"
        "    Layers: [layers/a]\n"
        "    Timeout: 900\n"
        "    MemorySize: 256\n"
        "    Environment: {Variables: {PORT: 0123, DEBUG: true}, Inherit: [HOME, LANG]}\n"
        "    ReservedConcurrentExecutions: 0\n"
        "    Preload: true\n"
        "Settings: {Region: eu-west-1, AccountId: '123456789012'}\n"
    )
    assert project.functions["billing"].concurrency_max == 0
    assert project.functions["billing"].spec == FunctionSpec(
        name="billing",
        handler="app.handler",
        code=folder.path / "code",
        arn="arn:aws:lambda:eu-west-1:123456789012:function:billing",
        region="eu-west-1",
        python=Path(sys.executable),
        layers=(folder.path / "layers/a",),
        timeout_ms=900_000,
        memory_mb=256,
        environment={"PORT": "0123", "DEBUG": "true"},
        inherit=("HOME", "LANG"),
        preload=True,
    )


def test_globals_are_defaults_that_a_functions_own_settings_win_over(folder):
    (folder.path / "one").mkdir()
    (folder.path / "two").mkdir()
    spec = spec_of(
        folder,
        "Timeout: 7",
        "Environment: {Variables: {B: own, C: own}}",
        "Layers: [two]",
        head="Globals: {Function: {Timeout: 5, MemorySize: 512, Layers: one, "
        "Environment: {Variables: {A: all, B: all}, Inherit: [HOME]}}}\n",
    )
    assert (spec.timeout_ms, spec.memory_mb) == (7000, 512)
    assert spec.environment == {"A": "all", "B": "own", "C": "own"}
    assert spec.inherit == ("HOME",)
    assert spec.layers == (folder.path / "one", folder.path / "two")


def test_globals_can_give_what_every_function_needs(folder):
    project = folder.load(
        "Globals: {Function: {CodeUri: code, Handler: app.handler}}\nFunctions: {a: {}, b: {Timeout: 9}}\n"
    )
    assert [each.spec.handler for each in project.functions.values()] == ["app.handler", "app.handler"]


def test_an_interpreters_link_is_not_resolved(folder):
    python = folder.path / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    assert spec_of(folder, "Python: venv").python == folder.path / "venv"
    assert spec_of(folder, "Python: venv/bin/python").python == python


@pytest.mark.parametrize("handler", ["app.handler", "inner/deep.handler", "inner.deep.handler", "package.handler"])
def test_a_handler_may_be_in_a_folder_or_a_package(folder, handler):
    folder.write("code/inner/deep.py", "def handler(event, context): ...\n")
    folder.write("code/package/__init__.py", "def handler(event, context): ...\n")
    assert spec_of(folder, head="").handler == "app.handler"
    text = HEAD.replace("app.handler", handler)
    assert folder.load(text).functions["billing"].spec.handler == handler


def test_a_handler_may_be_in_a_layer(folder):
    folder.write("layer/python/wrapper.py", "def handler(event, context): ...\n")
    text = HEAD.replace("app.handler", "wrapper.handler") + "    Layers: [layer]\n"
    assert folder.load(text).functions["billing"].spec.handler == "wrapper.handler"


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        ("CodeUri: code", "CodeUri: nowhere", "3: Functions.billing.CodeUri: {}/nowhere is not there; a folder with the code"),
        ("CodeUri: code", "CodeUri: code/app.py", "3: Functions.billing.CodeUri: {}/code/app.py is not a folder; a folder with the code"),
        ("    CodeUri: code\n", "", "2: Functions.billing.CodeUri: is missing; the folder with the function's code has to be given"),
        ("app.handler", "handler", "4: Functions.billing.Handler: is 'handler'; module.function, such as app.handler for the function handler of app.py"),
        ("app.handler", "..handler", "4: Functions.billing.Handler: is '..handler'; module.function, such as app.handler for the function handler of app.py"),
        ("app.handler", "''", "4: Functions.billing.Handler: is ''; a text"),
        ("app.handler", "other.handler", "4: Functions.billing.Handler: is 'other.handler', but there is no other.py in {}/code; module.function of a file below CodeUri"),
        ("app.handler\n", "app.handler\n    Layers: [nowhere]\n", "5: Functions.billing.Layers: {}/nowhere is not a folder"),
        ("app.handler\n", "app.handler\n    Python: nowhere\n", "5: Functions.billing.Python: {}/nowhere is not there; give an interpreter or a virtual environment"),
        ("app.handler\n", "app.handler\n    Runtime: python3.99\n", "5: Functions.billing.Runtime: python3.99 is not on the PATH; install it, or name one by Python:"),
        ("app.handler\n", "app.handler\n    Timeout: 0\n", "5: Functions.billing.Timeout: is 0; a whole number of seconds from 1 to 900"),
        ("app.handler\n", "app.handler\n    MemorySize: 64\n", "5: Functions.billing.MemorySize: is 64; a whole number of megabytes from 128 to 1048576"),
        ("app.handler\n", "app.handler\n    Environment:\n      Variables:\n        AWS_REGION: x\n", "7: Functions.billing.Environment.Variables.AWS_REGION: is set by the runtime itself; choose another name"),
        ("app.handler\n", "app.handler\n    Environment:\n      Variables:\n        a=b: x\n", "7: Functions.billing.Environment.Variables.a=b: is no name of a variable; letters, digits and _, no digit first"),
        ("app.handler\n", "app.handler\n    Environment: {Inherit: [a b]}\n", "5: Functions.billing.Environment.Inherit.0: 'a b' is no name of a variable; letters, digits and _"),
        ("app.handler\n", "app.handler\n    Memory: 128\n", "5: Functions.billing.Memory: is not known; did you mean MemorySize?"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_function_is_named(folder, old, new, finding):
    text = HEAD.replace(old, new)
    (found,) = folder.findings(text)
    assert found == f"penstock.yaml:{finding}".replace("{}/", "")


def test_a_syntax_error_is_named_with_file_and_line_of_the_code(folder):
    folder.write("code/app.py", "def handler(event, context):\n    return (\n")
    assert folder.findings(HEAD) == ["code/app.py:2: Functions.billing.Handler: syntax error: '(' was never closed"]


def test_a_syntax_error_is_named_as_the_user_named_the_configuration(folder, registry, monkeypatch):
    from penstock.configuration import ConfigurationError, load  # noqa: PLC0415

    folder.write("code/app.py", "def\n")
    folder.write("penstock.yaml", HEAD)
    monkeypatch.chdir(folder.path.parent)
    with pytest.raises(ConfigurationError) as caught:
        load("shop/penstock.yaml", registry, environ=os.environ)
    assert caught.value.findings[0].file == "shop/code/app.py"


def test_a_mistake_in_globals_is_named_there(folder):
    assert folder.findings("Globals:\n  Function:\n    Timout: 3\n" + HEAD) == [
        "penstock.yaml:3: Globals.Function.Timout: is not known; did you mean Timeout?"
    ]


def test_a_wrong_code_folder_of_globals_is_named_there(folder):
    text = "Globals:\n  Function:\n    CodeUri: nowhere\nFunctions:\n  a: {Handler: app.handler}\n"
    assert folder.findings(text) == [
        "penstock.yaml:3: Globals.Function.CodeUri: nowhere is not there; a folder with the code"
    ]
