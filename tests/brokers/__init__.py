"""Real brokers for tests.

Fixtures (from `brokers.fixtures`, known everywhere below `tests/`):

- `kafka`: a `KafkaBroker`, shared by the whole session: `kafka.address`.
- `kafka_sasl`: a `SaslListener`: `address`, `ca_file`, `passwords["reader"]`; READ on what begins with `acl-` only.
- `stranger_ca_file`: the certificate of an authority that signed nothing of ours.
- `topic`: makes a topic of a unique name, deleted after the test: `topic(partitions=4)`, `topic(prefix="acl-orders")`.
- `private_kafka`: starts a broker that the test may stop, kill, freeze and configure: `private_kafka(config={…})`.

Helpers: `produce`, `committed_offsets`, `topic_names`, `until`.
"""

from brokers.clients import Produced, committed_offsets, create_topic, produce, topic_names
from brokers.private_kafka import PrivateKafka
from brokers.waiting import until

__all__ = [
    "PrivateKafka",
    "Produced",
    "committed_offsets",
    "create_topic",
    "produce",
    "topic_names",
    "until",
]
