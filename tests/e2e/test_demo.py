"""The demo is the first thing a newcomer runs: it must work, and its figures must add up."""

import json
import subprocess
import sys

import pytest

from penstock.cli.demo.tally import Tally
from penstock.cli.demo.traffic import INVOICES, ORDERS


def run_demo(*arguments, cwd):
    command = [sys.executable, "-m", "penstock", "demo", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=120, check=False)


@pytest.mark.e2e
def test_the_demo_accounts_for_every_record(tmp_path):
    ran = run_demo(cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert f"sent {ORDERS + INVOICES} = processed " in ran.stdout
    assert "order 1111 is poison" in ran.stdout
    assert "given up after 3 attempts" in ran.stdout
    assert "came back and were processed at attempt 2" in ran.stdout
    assert "a slow batch of" in ran.stdout
    assert "Try next:" in ran.stdout
    assert list(tmp_path.iterdir()) == [], "it leaves nothing behind"


@pytest.mark.e2e
def test_the_demo_keeps_its_project_and_prints_figures_as_json(tmp_path):
    ran = run_demo("--keep", "shop", "--json", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    figures = json.loads(ran.stdout)
    assert figures["sent"] == figures["processed"] + figures["givenUp"] == ORDERS + INVOICES
    assert figures["inTheLedger"] == figures["processed"]
    assert (tmp_path / "shop" / "penstock.yaml").exists()


def test_the_demo_refuses_a_folder_that_is_there(tmp_path):
    (tmp_path / "shop").mkdir()
    ran = run_demo("--keep", "shop", cwd=tmp_path)
    assert ran.returncode == 2
    assert "shop exists" in ran.stderr


def test_a_log_line_without_a_mapping_is_no_story():
    tally = Tally()
    assert tally.take_in({"event": "node started"}) is None
    assert tally.lines == {}
