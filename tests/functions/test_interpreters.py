"""A function's own interpreter: a virtual environment, another version, or a wrong one."""

import asyncio
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from penstock.api import NotRun, PenstockError
from penstock.functions import FunctionHost, find_interpreter

PROBE = """
import sys
def handler(event, context):
    import importlib.util
    return [list(sys.version_info[:2]), sys.prefix, [name for name in event if importlib.util.find_spec(name)]]
"""


def other_pythons():
    """Every interpreter of a version that is supported and found here, besides the one that runs the tests."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = {}
    for minor in range(8, 15):
        candidates = [*versions.glob(f"3.{minor}.*/bin/python"), Path(f"/usr/bin/python3.{minor}")]
        found |= {f"3.{minor}": path for path in candidates if path.exists()}
    return found


@pytest.fixture
def environment_of_its_own(tmp_path):
    venv.create(tmp_path / "venv", symlinks=True)
    packages = next((tmp_path / "venv").glob("lib/python3*/site-packages"))
    (packages / "only_there.py").write_text("")
    return tmp_path / "venv"


@pytest.mark.parametrize("named", ["the folder", "the interpreter in it"])
def test_a_virtual_environment_runs_the_function_with_its_own_packages_only(bench, environment_of_its_own, named):
    python = environment_of_its_own if named == "the folder" else environment_of_its_own / "bin" / "python"

    version, prefix, found = bench.returned(bench.function(PROBE, python=python), ["only_there", "penstock", "msgspec"])

    assert version == list(sys.version_info[:2])
    assert prefix == str(environment_of_its_own)
    assert found == ["only_there"]


def test_the_nodes_own_interpreter_runs_a_function_that_names_none(bench):
    version, prefix, found = bench.returned(bench.function(PROBE), ["penstock"])

    assert (version, prefix, found) == (list(sys.version_info[:2]), sys.prefix, ["penstock"])


@pytest.mark.parametrize("python", other_pythons().values(), ids=other_pythons())
def test_the_bootstrap_runs_on_every_supported_version(bench, python):
    spec = bench.function(
        """
        import logging, subprocess, sys
        def handler(event, context):
            print("printed", flush=True)
            logging.error("logged")
            if event == "boom":
                raise ValueError("no")
            if event == "grandchild":
                subprocess.Popen(["sleep", "300"], start_new_session=True)
                import os
                os._exit(5)
            return [sys.version_info[:2], context.get_remaining_time_in_millis() > 0]
        """,
        python=python,
    )

    returned, failed, exited, preloaded = [
        *bench.invoke(spec, "x" * 100_000, "boom", "grandchild"),
        *bench.invoke(bench.function("def handler(event, context): return event", python=python, preload=True), 7),
    ]

    assert bench.value(returned)[1] is True
    assert failed.error_type == "ValueError"
    assert exited.error_message.endswith("exit status 5")
    assert bench.value(preloaded) == 7
    assert {"printed", "logged"} <= {line["message"] for line in bench.log()}


def too_old():
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    return sorted(path for minor in ("2.7", "3.6", "3.7") for path in versions.glob(f"{minor}.*/bin/python"))


@pytest.mark.parametrize("python", too_old(), ids=str)
def test_an_interpreter_that_is_too_old_is_refused_by_its_version(bench, python):
    with pytest.raises(
        PenstockError, match=r"did not start: it is Python \d\.\d+\.\d+, and functions need Python 3\.8"
    ):
        bench.invoke(bench.function(PROBE, python=python))


def test_an_interpreter_that_is_not_there_is_refused(bench, tmp_path):
    with pytest.raises(PenstockError, match=r"function 'billing': Python: .*/nowhere is not there"):
        bench.invoke(bench.function(PROBE, python=tmp_path / "nowhere"))


def test_a_file_that_is_no_interpreter_is_refused(bench, tmp_path):
    wrong = tmp_path / "wrong"
    wrong.write_text("#!/bin/sh\necho this is no Python >&2\nexit 1\n")
    with pytest.raises(PenstockError, match="can not be run; give an interpreter"):
        bench.invoke(bench.function(PROBE, python=wrong))
    wrong.chmod(0o755)
    with pytest.raises(PenstockError, match=r"its interpreter .* did not start: this is no Python"):
        bench.invoke(bench.function(PROBE, python=wrong))


def test_an_interpreter_that_breaks_later_is_no_attempt(bench, tmp_path):
    python = tmp_path / "python"
    python.symlink_to(Path(sys.executable).resolve())
    spec = bench.function(PROBE, python=python)

    async def scenario(host: FunctionHost):
        executor = host.executor(spec, environments_max=1)
        await executor.open()
        os.kill(host.template_pids()[0], 9)
        await bench.until(lambda: not host.template_pids())
        python.unlink()
        return await executor.invoke(bench.invocation([]))

    result = bench.run(scenario)

    assert isinstance(result, NotRun)
    assert "is not there" in result.reason


def test_functions_of_one_interpreter_share_a_template(bench, environment_of_its_own):
    async def scenario(host: FunctionHost):
        functions = [bench.function(PROBE, name=name) for name in ("one", "two")]
        functions.append(bench.function(PROBE, name="three", python=environment_of_its_own))
        executors = [host.executor(spec, environments_max=1) for spec in functions]
        await asyncio.gather(*(executor.open() for executor in executors))
        return len(host.template_pids())

    assert bench.run(scenario) == 2


def test_a_runtime_of_awss_name_is_looked_for_on_the_path(bench, tmp_path, monkeypatch):
    own = f"python3.{sys.version_info.minor}"
    other = f"python3.{sys.version_info.minor + 20}"
    (tmp_path / other).symlink_to(sys.executable)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert find_interpreter(bench.function("", runtime=own)) == Path(sys.executable)
    assert find_interpreter(bench.function("", runtime=other)) == tmp_path / other
    with pytest.raises(PenstockError, match=r"Runtime: python3\.\d+ is not on the PATH"):
        find_interpreter(bench.function("", runtime=f"python3.{sys.version_info.minor + 21}"))
    with pytest.raises(PenstockError, match=r"Runtime: nodejs is not supported yet"):
        find_interpreter(bench.function("", runtime="nodejs"))


def test_the_bootstrap_imports_the_standard_library_only():
    script = Path(sys.modules["penstock.functions"].__file__).parent / "bootstrap" / "template_main.py"
    listed = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import runpy, sys; runpy.run_path({str(script)!r}); print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()

    assert {name.split(".")[0] for name in listed} <= set(sys.stdlib_module_names) | {"__main__", "__mp_main__"}
