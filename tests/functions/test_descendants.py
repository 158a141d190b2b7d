"""What a function starts ends with it, however it tried to get away."""

import asyncio
import os
import signal
import subprocess
import sys
import time
import venv

import pytest

from penstock.functions import FunctionHost

# One child that stays, one that left the process group, one that left the session, lost its parent, execs and has no
# environment block, and one that did the same without any exec. Each writes its pid.
BROOD = """
import os, pathlib, subprocess, time
KEEP = ["sh", "-c", "echo $$ > {name}; exec sleep 300"]
def keep(name, **options):
    subprocess.Popen([part.replace("{name}", name) for part in KEEP], **options)
def daemon(name, then):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            then(name)
        os._exit(0)
    os.wait()
def lose_environment(name):
    os.execve("/bin/sh", [part.replace("{name}", name) for part in KEEP], {})
def stay_python(name):
    pathlib.Path(name).write_text(str(os.getpid()))
    time.sleep(300)
    os._exit(0)
def brood():
    keep("child.pid")
    keep("group.pid", process_group=0)
    keep("session.pid", start_new_session=True)
    daemon("exec.pid", lose_environment)
    daemon("fork.pid", stay_python)
    while len([p for p in pathlib.Path(".").glob("*.pid") if p.read_text().strip()]) < 5:
        time.sleep(0.01)
def handler(event, context):
    if event != "stay":
        brood()
    if event == "exit":
        os._exit(1)
    if event == "template":
        os.kill(os.getppid(), 9)
    if event != "return":
        time.sleep(300)
"""


def pids(folder):
    texts = {path.name: path.read_text().strip() for path in folder.glob("*.pid")}
    return {name: int(text) for name, text in texts.items() if text}


@pytest.mark.parametrize("how", ["timeout", "exit", "template", "cancel", "retire", "close"])
def test_descendants_end_with_their_environment(bench, how):
    spec = bench.function(BROOD, timeout_ms=2000 if how == "timeout" else 10_000)

    async def scenario(host: FunctionHost):
        executor = host.executor(spec, environments_max=1)
        running = asyncio.ensure_future(
            executor.invoke(bench.invocation({"retire": "return", "close": "return"}.get(how, how)))
        )
        await bench.until(lambda: len(pids(spec.code)) == 5)
        if how == "cancel":
            running.cancel()
            await asyncio.wait([running])
        else:
            await running
        if how == "retire":
            await executor.retire(idle_for_s=0)
        if how == "close":
            assert all(map(bench.is_alive, pids(spec.code).values()))
            await executor.close()
        return {name: pid for name, pid in pids(spec.code).items() if bench.is_alive(pid)}

    assert bench.run(scenario) == {}


def test_the_descendants_of_one_environment_end_and_those_of_another_stay(bench):
    one, two = bench.function(BROOD, name="one", timeout_ms=2500), bench.function(BROOD, name="two")

    async def scenario(host: FunctionHost):
        staying = await host.executor(two, environments_max=1).invoke(bench.invocation("return"))
        await host.executor(one, environments_max=1).invoke(bench.invocation("sleep"))
        ended = [pid for pid in pids(one.code).values() if bench.is_alive(pid)]
        return staying, ended, [bench.is_alive(pid) for pid in pids(two.code).values()]

    _, ended, stay = bench.run(scenario)

    assert ended == []
    assert stay == [True] * 5


NODE = """
import asyncio, sys, uuid
from pathlib import Path
from penstock.api import FunctionSpec, Invocation
from penstock.functions import FunctionHost

async def main(folder):
    spec = FunctionSpec(name="f", handler="app.handler", code=folder, arn="arn", timeout_ms=300_000)
    async with FunctionHost(data_dir=folder / "data") as host:
        executor = host.executor(spec, environments_max=2)
        idle = await executor.invoke(Invocation(request_id=str(uuid.uuid4()), event=b'"return"'))
        Path(folder / "node").write_text(str([*executor.pids(), *host.template_pids()]))
        await executor.invoke(Invocation(request_id=str(uuid.uuid4()), event=b'"stay"'))

asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_node_killed_by_sigkill_leaves_no_process(bench, loop):
    folder = bench.function(BROOD).code
    source = NODE if loop == "asyncio" else NODE.replace("asyncio.run(", "import uvloop; uvloop.run(")
    node = subprocess.Popen([sys.executable, "-c", source, folder], start_new_session=True)
    try:
        own = bench.wait_until(lambda: (folder / "node").exists() and (folder / "node").read_text())
        processes = [*map(int, own.strip("[]").split(",")), *pids(folder).values()]
        assert len(processes) == 7
        assert all(map(bench.is_alive, processes))
        os.killpg(node.pid, signal.SIGKILL)
        node.wait()
        killed_s = time.monotonic()
        bench.wait_until(lambda: not any(map(bench.is_alive, processes)))
        assert time.monotonic() - killed_s < 5
    finally:
        node.kill()
        node.wait()


def test_orphans_do_not_pile_up_while_an_environment_lives(bench):
    spec = bench.function(
        """
        import os, subprocess
        def handler(event, context):
            subprocess.run(["sh", "-c", "true &"], check=True)
            children = []
            for pid in (os.getpid(), os.getppid()):
                children += open(f"/proc/{pid}/task/{pid}/children").read().split()
            return len(children)
        """
    )

    results = bench.invoke(spec, *range(30))

    assert bench.value(results[-1]) < 10


def test_descendants_end_where_the_interpreter_can_not_adopt_them(bench, tmp_path):
    venv.create(tmp_path / "venv", symlinks=True)
    packages = next((tmp_path / "venv").glob("lib/python3*/site-packages"))
    (packages / "sitecustomize.py").write_text("import sys\nsys.modules['ctypes'] = None\n")
    spec = bench.function(BROOD, python=tmp_path / "venv")

    result = bench.failed(spec, "exit")

    assert result.error_message.endswith("exit status 1")
    assert len(pids(spec.code)) == 5
    assert not any(map(bench.is_alive, pids(spec.code).values()))


def test_a_function_may_use_processes_of_its_own(bench):
    spec = bench.function(
        """
        import multiprocessing, work
        def handler(event, context):
            with multiprocessing.get_context(event).Pool(2) as pool:
                return pool.map(work.double, [1, 2, 3])
        """
    )
    (spec.code / "work.py").write_text("def double(number): return number * 2")

    results = bench.invoke(spec, "fork", "spawn", "forkserver")

    assert [bench.value(result) for result in results] == [[2, 4, 6]] * 3
