"""`penstock init`: a small project that works."""

from pathlib import Path

import click

from penstock.cli.failures import Wrong
from penstock.cli.options import command
from penstock.cli.output import write_json
from penstock.cli.session import session

PROJECT = """\
# A Penstock project. `penstock validate` checks this file, `penstock up` runs it.
Sources:
  orders: {Type: sqlite-stream}

Functions:
  hello:
    CodeUri: functions/hello
    Handler: app.handler
    Timeout: 10
    Events:
      FromOrders:
        Source: orders
        StartingPosition: TRIM_HORIZON
        BatchSize: 100
        MaximumRetryAttempts: 3
"""

FUNCTION = '''\
"""Greets whoever is named in each record."""

import base64


def handler(event, context):
    greetings = [greet(base64.b64decode(record["kinesis"]["data"]).decode()) for record in event["Records"]]
    for greeting in greetings:
        print(greeting)
    return {"greetings": greetings}


def greet(name):
    return f"Hello, {name}!"
'''

TEST = '''\
"""Run with `pytest`; needs nothing of Penstock."""

import base64
import importlib.util
from pathlib import Path

CODE = Path(__file__).parent.parent / "functions" / "hello" / "app.py"


def load_app():
    spec = importlib.util.spec_from_file_location("hello_app", CODE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_record_is_greeted():
    data = base64.b64encode(b"Ada").decode()
    event = {"Records": [{"kinesis": {"data": data, "partitionKey": "1", "sequenceNumber": "1"}}]}
    assert load_app().handler(event, None) == {"greetings": ["Hello, Ada!"]}
'''

FILES = {
    "penstock.yaml": PROJECT,
    "functions/hello/app.py": FUNCTION,
    "tests/test_hello.py": TEST,
}


@command("init", example="penstock init shop")
@click.argument("directory", metavar="[DIR]", default=".", type=click.Path(path_type=Path, file_okay=False))
def init(*, directory: Path, as_json: bool) -> None:
    """Write a small working project: penstock.yaml, one function, one test. Nothing is overwritten."""
    present = [name for name in FILES if (directory / name).exists()]
    if present:
        raise Wrong(f"{directory / present[0]} is there already; nothing was written")
    try:
        for name, text in FILES.items():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            # "x" refuses what came into being since we looked.
            with (directory / name).open("x", encoding="utf-8") as file:
                file.write(text)
    except OSError as error:
        raise Wrong(f"{error.filename or directory}: {error.strerror}") from None
    if as_json:
        write_json({"files": [str(directory / name) for name in FILES]})
        return
    for name in FILES:
        click.echo(directory / name)
    where = "" if directory == Path() else f"cd {directory} && "
    session().say(f"Next: {where}penstock send orders Ada Grace && penstock up")
