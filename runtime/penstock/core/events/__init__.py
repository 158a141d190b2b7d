"""The layouts of events: which there are, and how you get one.

```python
layout = stream_layout("kafka", Origin(source_arn=arn, region="us-east-1", topic="orders", partition=3))
event = layout.encode(records)
```
"""

from collections.abc import Callable, Mapping

from penstock.api import Message, SettingsError
from penstock.core.events.kafka import KafkaLayout
from penstock.core.events.kinesis import KinesisLayout
from penstock.core.events.layout import Layout, Origin, StreamLayout, raw_bytes
from penstock.core.events.rmq import RmqLayout
from penstock.core.events.sqs import SqsLayout

__all__ = [
    "QUEUE_FORMATS",
    "STREAM_FORMATS",
    "Layout",
    "Origin",
    "StreamLayout",
    "queue_layout",
    "raw_bytes",
    "stream_layout",
]

_STREAMS: Mapping[str, Callable[[Origin], StreamLayout]] = {"kafka": KafkaLayout, "kinesis": KinesisLayout}
_QUEUES: Mapping[str, Callable[[Origin], Layout[Message]]] = {"sqs": SqsLayout, "rmq": RmqLayout}

STREAM_FORMATS = tuple(_STREAMS)
QUEUE_FORMATS = tuple(_QUEUES)


def stream_layout(event_format: str, origin: Origin) -> StreamLayout:
    """Make the layout of one shard; raises SettingsError for a format that streams do not have."""
    if event_format not in _STREAMS:
        raise SettingsError("EventFormat", f"is '{event_format}'", allowed=f"streams have {' and '.join(_STREAMS)}")
    return _STREAMS[event_format](origin)


def queue_layout(event_format: str, origin: Origin) -> Layout[Message]:
    """Make the layout of one queue; raises SettingsError for a format that queues do not have."""
    if event_format not in _QUEUES:
        raise SettingsError("EventFormat", f"is '{event_format}'", allowed=f"queues have {' and '.join(_QUEUES)}")
    return _QUEUES[event_format](origin)
