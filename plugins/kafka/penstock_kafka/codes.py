# ruff: noqa: SLF001 - librdkafka's own errors are public, and named with an underscore
"""The error codes that we tell apart: librdkafka's own, and groups of them that mean the same to us."""

from typing import Final

from penstock_kafka.client import KafkaError

PARTITION_EOF: Final = KafkaError._PARTITION_EOF
ALL_BROKERS_DOWN: Final = KafkaError._ALL_BROKERS_DOWN
MAX_POLL_EXCEEDED: Final = KafkaError._MAX_POLL_EXCEEDED
FATAL: Final = KafkaError._FATAL
FENCED: Final = KafkaError.FENCED_INSTANCE_ID
WRONG_STATE: Final = KafkaError._STATE
GROUP_DENIED: Final = KafkaError.GROUP_AUTHORIZATION_FAILED
TRANSPORT: Final = KafkaError._TRANSPORT
SSL: Final = KafkaError._SSL
TIMED_OUT: Final = KafkaError._TIMED_OUT

TRIMMED = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE})

UNREACHED = frozenset({KafkaError._TRANSPORT, KafkaError._RESOLVE, KafkaError._TIMED_OUT})

DENIED = frozenset(
    {
        KafkaError._AUTHENTICATION,
        KafkaError._SSL,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.UNSUPPORTED_SASL_MECHANISM,
        KafkaError.ILLEGAL_SASL_STATE,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    }
)

MISSING = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.UNKNOWN_TOPIC_ID,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
    }
)

BROKEN = frozenset(
    {
        KafkaError.INCONSISTENT_GROUP_PROTOCOL,
        KafkaError.UNSUPPORTED_ASSIGNOR,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError.OFFSET_METADATA_TOO_LARGE,
        KafkaError.INVALID_GROUP_ID,
        KafkaError.INVALID_SESSION_TIMEOUT,
        KafkaError.INVALID_CONFIG,
        KafkaError.INVALID_MSG,
        KafkaError.INVALID_PARTITIONS,
        KafkaError.INVALID_REPLICATION_FACTOR,
        KafkaError.POLICY_VIOLATION,
        KafkaError.TOPIC_EXCEPTION,
        KafkaError.UNSUPPORTED_VERSION,
        KafkaError._BAD_COMPRESSION,
        KafkaError._BAD_MSG,
        KafkaError._FENCED,
        KafkaError._INVALID_ARG,
        KafkaError._UNSUPPORTED_FEATURE,
    }
)

# A broker that has just started has yet to find out who coordinates what.
NOT_READY = frozenset(
    {
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError._WAIT_COORD,
    }
)

# Said to who commits from outside a group that has members.
NOT_THE_MEMBER = frozenset(
    {
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.STALE_MEMBER_EPOCH,
        KafkaError.FENCED_MEMBER_EPOCH,
        KafkaError.NON_EMPTY_GROUP,
    }
)

# The broker has not made up its mind about the group yet, or knows us under a newer generation than the request had.
COMMIT_AGAIN = frozenset(
    {
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.STALE_MEMBER_EPOCH,
        KafkaError.FENCED_MEMBER_EPOCH,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.UNSTABLE_OFFSET_COMMIT,
        KafkaError._WAIT_COORD,
        KafkaError._TRANSPORT,
        KafkaError._TIMED_OUT,
        KafkaError._STATE,
    }
)

TOO_LARGE = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE})
REFUSED = TOO_LARGE | {KafkaError.INVALID_RECORD, KafkaError.INVALID_TIMESTAMP}

HINTS = {
    KafkaError.INCONSISTENT_GROUP_PROTOCOL: (
        "the group has members that share its partitions out by another protocol or assignor, and Penstock uses "
        "cooperative-sticky; give this mapping a ConsumerGroupId of its own, or stop the other members"
    ),
    KafkaError.FENCED_INSTANCE_ID: (
        "another node has joined the group under this node's id; each node needs a data directory of its own"
    ),
    KafkaError.OFFSET_METADATA_TOO_LARGE: (
        "the broker's offset.metadata.max.bytes is too small for the notes that are committed with a position"
    ),
    KafkaError.UNKNOWN_TOPIC_OR_PART: "the topic does not exist",
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "the user has no right to this topic",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "the user has no right to READ the consumer group",
    KafkaError._AUTHENTICATION: "the broker refused the credentials",
    KafkaError._SSL: "the TLS handshake failed",
}
"""What an error means here, beside the broker's own words."""
