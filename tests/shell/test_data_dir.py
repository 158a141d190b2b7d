import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.shell.data_dir import DataDir, DataDirError

HOLD = """
import sys
from pathlib import Path
from penstock.shell.data_dir import DataDir
with DataDir(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_it_is_made_private_and_invisible_to_git(tmp_path):
    path = tmp_path / "deep" / ".penstock"

    with DataDir(path):
        assert (mode(path), (path / ".gitignore").read_text()) == (0o700, "*\n")


def test_the_node_keeps_its_identity_for_as_long_as_the_directory_lives(tmp_path):
    with DataDir(tmp_path / "d") as first:
        pass
    with DataDir(tmp_path / "d") as second:
        pass
    with DataDir(tmp_path / "other") as other:
        pass

    assert first.node_id == second.node_id
    assert len({first.node_id, other.node_id}) == 2


def test_what_belongs_to_the_running_node_is_gone_at_its_end(tmp_path):
    with DataDir(tmp_path / "d") as data_dir:
        data_dir.write_endpoint("http://127.0.0.1:5")
        assert (tmp_path / "d" / "run" / "endpoint").read_text() == "http://127.0.0.1:5\n"

    assert not (tmp_path / "d" / "run").exists()


def test_what_a_killed_node_left_in_run_is_removed_at_the_start(tmp_path):
    run = tmp_path / "d" / "run"
    run.mkdir(parents=True)
    (run / "endpoint").write_text("http://127.0.0.1:9\n")

    with DataDir(tmp_path / "d"):
        assert list(run.iterdir()) == []


def test_a_folder_of_other_things_keeps_its_mode_and_gets_no_gitignore(tmp_path):
    (tmp_path / "penstock.yaml").write_text("x")
    tmp_path.chmod(0o755)

    with DataDir(tmp_path):
        assert (mode(tmp_path), (tmp_path / ".gitignore").exists()) == (0o755, False)


def test_a_second_node_is_refused_with_the_pid_of_the_first_until_that_ends(tmp_path):
    path = tmp_path / "d"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == "held\n"
        for _ in range(2):
            with pytest.raises(DataDirError, match=rf"in use by the node with pid {holder.pid};"), DataDir(path):
                pass
        holder.stdin.close()
        holder.wait()

    with DataDir(path):
        assert (path / "node.lock").read_text() == f"{os.getpid()}\n"


def test_a_directory_that_can_not_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("x")

    sentence = r"file/d can not be used: .*/file: File exists$"
    with pytest.raises(DataDirError, match=sentence), DataDir(tmp_path / "file" / "d"):
        pass
