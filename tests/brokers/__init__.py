"""Real brokers for tests.

Fixtures (from `brokers.fixtures`, known everywhere below `tests/`):

- `kafka`: a `KafkaBroker`, shared by the whole session: `kafka.address`.
- `kafka_sasl`: a `SaslListener`: `address`, `ca_file`, `passwords["reader"]`; READ on what begins with `acl-` only.
- `stranger_ca_file`: the certificate of an authority that signed nothing of ours.
- `topic`: makes a topic of a unique name, deleted after the test: `topic(partitions=4)`, `topic(prefix="acl-orders")`.
- `private_kafka`: starts a broker that the test may stop, kill, freeze and configure: `private_kafka(config={…})`.
- `redis`: a `RedisBroker`, shared by the whole session: `redis.url`.
- `redis_tls`: a `SecuredRedis`: `url`, `ca_file`, `passwords["limited"]`, who may use keys that begin with `acl-`.
- `private_redis`: starts a server that the test may stop, kill, freeze, configure: `private_redis(persistent=False)`.
- `redis_generation`: which Redis the three above are of; override it in a folder, with `REDIS_GENERATIONS` as
  parameters, and each of its tests runs on each of them: Redis as packaged here, Redis 8, Valkey.
- `rabbitmq`: a `RabbitMqBroker`, shared by the whole session: `rabbitmq.url`, `rabbitmq.management`.
- `rabbitmq_tls`: a `SecuredRabbitMq`: `url`, `ca_file`, `client_files`, `passwords["limited"]`, who configures nothing.
- `private_rabbitmq`: starts a broker that the test may stop, kill, freeze, configure and control.
- `rabbitmq_generation`: which RabbitMQ these are of; to override with `RABBITMQ_GENERATIONS`: as packaged here, and 4.

Helpers: `produce`, `committed_offsets`, `topic_names`, `until`.
"""

from brokers.clients import Produced, committed_offsets, create_topic, produce, topic_names
from brokers.generations import RABBITMQ_GENERATIONS, REDIS_GENERATIONS
from brokers.private_kafka import PrivateKafka
from brokers.private_rabbitmq import PrivateRabbitMq
from brokers.private_redis import PrivateRedis
from brokers.waiting import until

__all__ = [
    "RABBITMQ_GENERATIONS",
    "REDIS_GENERATIONS",
    "PrivateKafka",
    "PrivateRabbitMq",
    "PrivateRedis",
    "Produced",
    "committed_offsets",
    "create_topic",
    "produce",
    "topic_names",
    "until",
]
