import io
import json
import logging

import pytest

from penstock.configuration import mask_function
from penstock.shell.logs import adopt_standard_logging, make_log


@pytest.fixture
def standard_logging():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_secrets_are_masked_wherever_they_stand():
    stream = io.StringIO()
    log = make_log(log_format="json", level="info", mask=mask_function({"hunter22"}), stream=stream)

    log.info("said hunter22", reason="hunter22 is wrong", several=["a", "hunter22"], deep={"x": "hunter22"})
    try:
        int("hunter22")
    except ValueError:
        log.exception("broke")

    assert "hunter22" not in stream.getvalue()
    assert lines(stream)[0]["reason"] == "****** is wrong"


def test_text_is_one_line_for_each_fact_with_its_fields_in_order():
    stream = io.StringIO()
    log = make_log(log_format="text", level="info", stream=stream).bind(mapping="tally.From")

    log.warning("batch failed", shard="s-0", attempt=2)

    [line] = stream.getvalue().splitlines()
    assert line.endswith("mapping=tally.From shard=s-0 attempt=2")


@pytest.mark.usefixtures("standard_logging")
def test_what_libraries_log_goes_the_same_way():
    stream = io.StringIO()
    adopt_standard_logging(make_log(log_format="json", level="info", stream=stream), "info")

    logging.getLogger("some.library").warning("low on %s", "memory")
    logging.getLogger("some.library").info("chatter")

    assert [(line["event"], line["logger"], line["level"]) for line in lines(stream)] == [
        ("low on memory", "some.library", "warning")
    ]
