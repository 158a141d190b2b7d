"""What a user installs: the wheels in environments of their own, and every command that the README shows."""

import json
import os
import re
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 300

pytestmark = pytest.mark.e2e


def run(*command, cwd=ROOT, env=None, check=True):
    ran = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert not check or ran.returncode == 0, f"{command}\n{ran.stdout}\n{ran.stderr}"
    return ran


def environment(folder):
    """The user's shell: nothing of ours on its path but what is installed in this one environment."""
    ours = ("PYTHON", "PENSTOCK_", "VIRTUAL_ENV", "UV_PROJECT", "UV_PYTHON")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    path = [entry for entry in kept["PATH"].split(os.pathsep) if not entry.startswith(str(ROOT / ".venv"))]
    return {**kept, "PATH": os.pathsep.join([str(folder / "bin"), *path])}


def make_environment(folder, *packages):
    run(sys.executable, "-m", "venv", folder)
    if packages:
        run(folder / "bin" / "pip", "install", "--quiet", *packages)
    return folder


@pytest.fixture(scope="session")
def wheels(tmp_path_factory):
    """Every distribution of the workspace as a wheel."""
    folder = tmp_path_factory.mktemp("wheels")
    uv = shutil.which("uv") or str(ROOT / ".tools" / "bin" / "uv")
    run(uv, "build", "--quiet", "--all-packages", "--wheel", "--out-dir", folder)
    found = {wheel.name.split("-")[0]: wheel for wheel in folder.glob("*.whl")}
    assert set(found) == {"penstock", "penstock_kafka", "penstock_rabbitmq", "penstock_redis"}
    return found


@pytest.fixture(scope="session")
def everything(wheels, tmp_path_factory):
    return make_environment(tmp_path_factory.mktemp("everything") / "venv", *wheels.values())


def test_the_runtime_alone_runs_the_demo(wheels, tmp_path):
    venv = make_environment(tmp_path / "venv", wheels["penstock"])
    listed = json.loads(run("penstock", "plugin", "list", "--json", env=environment(venv), cwd=tmp_path).stdout)
    assert [plugin["name"] for plugin in listed] == ["embedded"]
    ran = run("penstock", "demo", env=environment(venv), cwd=tmp_path)
    assert "sent 3300 = processed 3275 + given up 25" in ran.stdout


def test_the_plugins_are_found_in_a_clean_environment(everything, tmp_path):
    listed = run("penstock", "plugin", "list", env=environment(everything), cwd=tmp_path).stdout
    assert re.search(r"^embedded\s+0\.1\.0\s+1\s+sqlite-stream", listed, re.MULTILINE)
    assert re.search(r"^kafka\s+0\.1\.0\s+1\s+kafka", listed, re.MULTILINE)
    assert re.search(r"^rabbitmq\s+0\.1\.0\s+1\s+rabbitmq", listed, re.MULTILINE)
    assert re.search(r"^redis\s+0\.1\.0\s+1\s+redis-queue", listed, re.MULTILINE)


def test_the_wheels_carry_licence_and_types(wheels, everything, tmp_path):
    script = (
        "from importlib.metadata import metadata; from importlib.resources import files\n"
        "for name in ('penstock', 'penstock-kafka', 'penstock-rabbitmq', 'penstock-redis'):\n"
        "    print(metadata(name)['License-Expression'], (files(name.replace('-', '_')) / 'py.typed').is_file())\n"
    )
    assert len(wheels) == 4
    printed = run("python", "-c", script, env=environment(everything), cwd=tmp_path).stdout
    assert printed.split("\n")[:4] == ["Apache-2.0 True"] * 4


def test_the_plugin_of_the_authors_guide_works_when_it_is_installed(everything, tmp_path):
    run(everything / "bin" / "pip", "install", "--quiet", ROOT / "examples" / "plugin-tape")
    (tmp_path / "tapes").mkdir()
    for tape in ("a", "b"):
        (tmp_path / "tapes" / f"{tape}.txt").write_text("".join(f"{tape}{number}\n" for number in range(50)))
    (tmp_path / "app.py").write_text(
        "import base64\n"
        "def handler(event, context):\n"
        "    with open('heard', 'a') as heard:\n"
        "        for record in event['Records']:\n"
        "            heard.write(base64.b64decode(record['kinesis']['data']).decode() + '\\n')\n"
    )
    (tmp_path / "penstock.yaml").write_text(
        "Sources:\n  notes: {Type: tape, Folder: tapes}\n"
        "Functions:\n  listen:\n    CodeUri: .\n    Handler: app.handler\n    Events:\n"
        "      E: {Source: notes, StartingPosition: TRIM_HORIZON, BatchSize: 20, MaximumRetryAttempts: 0}\n"
    )
    for _ in range(2):
        run("penstock", "up", "--until-idle=1", "--listen", "none", env=environment(everything), cwd=tmp_path)
    heard = (tmp_path / "heard").read_text().split()
    assert sorted(heard) == sorted(f"{tape}{number}" for tape in "ab" for number in range(50))
    for tape in "ab":
        assert [line for line in heard if line[0] == tape] == [f"{tape}{number}" for number in range(50)]


@pytest.mark.kafka
def test_every_command_of_the_readme_works_as_shown(kafka, tmp_path):
    venv = make_environment(tmp_path / "venv")
    topic = f"readme-{uuid.uuid4().hex}"
    script = readme_script(kafka.address, topic, work=tmp_path)
    clone = tmp_path / "clone"
    # A clone, so that the build leaves nothing in this checkout.
    shutil.copytree(ROOT, clone, ignore=shutil.ignore_patterns(".git", ".venv", ".brokers", ".*_cache", "dist"))
    ran = run("bash", "-euo", "pipefail", "-c", script, cwd=clone, env=environment(venv), check=False)
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"
    for expected in ("Hello, Ada!", "Hello, Grace!", "Hello, Edsger!", "Hello, Barbara!", "Hello, Donald!"):
        assert expected in ran.stdout


def readme_script(address, topic, *, work):
    """Put together what the README shows: its commands, and its file where it says to write it."""
    text = (ROOT / "README.md").read_text()
    steps = []
    for language, block in re.findall(r"^```(sh|yaml)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        if language == "sh":
            steps.append(block)
        else:
            changed = block.replace("localhost:9092", address).replace("Topic: orders", f"Topic: {topic}")
            assert topic in changed
            steps.append(f"cat > penstock.yaml <<'END'\n{changed}END\n")
    assert "make build" in steps[0]
    # After installing, the reader is wherever the project shall be; no other node may be in the way.
    return "\n".join([steps[0], f"cd {work}", "export PENSTOCK_LISTEN=127.0.0.1:0", *steps[1:]])
