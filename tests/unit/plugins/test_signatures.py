"""Objects that a plugin made, held against their protocol."""

import pytest

from penstock.api import Destination, QueueSource, StreamSource
from penstock.plugins import PluginError, check_source


class Writer:
    async def open(self): ...
    async def close(self): ...
    async def send(self, records): ...


def test_an_object_with_every_method_is_accepted():
    check_source(Writer(), Destination)


def test_a_wider_signature_is_accepted():
    class Wider(Writer):
        async def send(self, records, *more, limit=10, **options): ...

    check_source(Wider(), Destination)


def test_a_missing_method_is_named_with_its_signature():
    class Mute:
        async def open(self): ...
        async def close(self): ...

    with pytest.raises(PluginError) as caught:
        check_source(Mute(), Destination)
    assert str(caught.value).startswith(
        "Mute is not a Destination: it has no method 'send', wanted is `async def send("
    )


def test_other_parameters_are_quoted_beside_those_that_are_wanted():
    class Own:
        async def open(self): ...
        async def close(self): ...
        async def receive(self, count, wait_ms): ...
        async def ack(self, receipts): ...
        async def nack(self, receipts, *, delay_ms): ...
        async def reject(self, receipt_list): ...
        async def extend(self, receipts, *, lease_ms): ...
        async def backlog(self): ...

    with pytest.raises(PluginError) as caught:
        check_source(Own(), QueueSource)
    text = str(caught.value)
    assert "found `async def receive(count, wait_ms)`, wanted is `async def receive(*, messages_max: int, " in text
    assert "found `async def nack(receipts, *, delay_ms)`, wanted is `async def nack(" in text
    assert "found `async def reject(receipt_list)`, wanted is `async def reject(receipts: " in text
    assert "ack(receipts)`, wanted is `async def ack(" not in text.replace("nack(", "")


def test_an_attribute_that_is_no_method_is_refused():
    class Flat(Writer):
        send = 7

    with pytest.raises(PluginError, match="it has no method 'send'"):
        check_source(Flat(), Destination)


def test_the_embedded_sources_keep_the_protocol(tmp_path):
    from penstock.api import MappingContext, SourceContext  # noqa: PLC0415
    from penstock.plugins import load_plugins  # noqa: PLC0415

    types = load_plugins().source_types
    source = SourceContext(project="p", name="s", settings={}, data_dir=tmp_path)
    mapping = MappingContext(mapping="m", uuid="u", node="n", settings={}, buffer_bytes_max=1)
    check_source(types["sqlite-stream"].open_stream(source, mapping), StreamSource)
    check_source(types["sqlite-queue"].open_queue(source, mapping), QueueSource)
