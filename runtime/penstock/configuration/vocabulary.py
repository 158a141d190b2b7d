"""The words of a configuration, as tables of `Setting`: what is not here is not known.

Names, ranges and defaults are Lambda's (`lambda-semantics.md §1`); what the engine does not do yet is here with a
refusal, so that it is never ignored. A source type's own settings come from its plugin.
"""

from penstock.api import Setting
from penstock.core.settings import RetryBackoff

NOT_YET = "is not supported yet"

_BACKOFF = RetryBackoff()

NODE_SETTINGS = (
    Setting("MaximumConcurrency", "integer", least=1, most=100_000, doc="environments of the whole node at once"),
    Setting("DataDir", "path", doc="where the node keeps what outlives it (default: .penstock beside this file)"),
    Setting(
        "Listen", "text", default="127.0.0.1:3001", doc="HOST:PORT of the endpoint; port 0 picks one, none has none"
    ),
    Setting("Region", "text", default="us-east-1", doc="the region in ARNs and in a function's environment"),
    Setting("AccountId", "text", default="000000000000", doc="the account in ARNs"),
    Setting("LogFormat", "choice", default="text", choices=("text", "json"), doc="how the node writes its log"),
    Setting(
        "DrainTimeoutSeconds",
        "number",
        default=25,
        least=0,
        most=86_400,
        unit="seconds",
        doc="how long running invocations may finish when the node ends",
    ),
    Setting(
        "BufferMegabytes",
        "integer",
        default=64,
        least=1,
        most=1_048_576,
        unit="megabytes",
        doc="what all mappings together may hold in memory of what they read ahead",
    ),
    Setting("Store", "any", refusal=NOT_YET, doc="where what survives a restart is kept"),
    Setting("AccessKeys", "any", refusal=NOT_YET, doc="credentials of the endpoint"),
)

SOURCE = (
    Setting("Type", "text", doc="the type of source"),
    Setting("Connection", "text", doc="a name of the section Connections, whose settings this source takes over"),
    Setting("Arn", "text", doc="an ARN that names this source (default: one made of its name)"),
    Setting("Create", "boolean", default=False, doc="create what is missing at the broker"),
)

QUEUE_SOURCE = (
    Setting(
        "VisibilityTimeout",
        "integer",
        least=0,
        most=43_200,
        unit="seconds",
        doc="after how long a failed message comes back (default: 30, or the function's timeout if that is longer)",
    ),
    Setting("RedrivePolicy", "any", refusal=NOT_YET, doc="where messages go that failed too often"),
    Setting("FifoQueue", "boolean", default=False, refusal=NOT_YET, doc="order within message groups"),
)

CONNECTION = (Setting("Type", "text", required=True, doc="the type of source that the connection is for"),)

FUNCTION = (
    Setting("CodeUri", "path", required=True, doc="the folder with the function's code"),
    Setting("Handler", "text", required=True, doc="module.function, the module being a file below CodeUri"),
    Setting("Runtime", "text", default="python", doc="python, or python3.12 and so on for that interpreter"),
    Setting("Python", "path", doc="the interpreter or virtual environment that runs the function"),
    Setting("Layers", "texts", default=(), doc="folders whose modules the function can import"),
    Setting("Timeout", "integer", default=3, least=1, most=900, unit="seconds", doc="when an invocation is ended"),
    Setting("MemorySize", "integer", least=128, most=1_048_576, unit="megabytes", doc="memory limit (default: none)"),
    Setting(
        "Environment",
        "section",
        doc="the function's environment variables",
        fields=(
            Setting("Variables", "map", default={}, doc="names and values"),
            Setting("Inherit", "texts", default=(), doc="names of the node's own variables that the function sees"),
        ),
    ),
    Setting(
        "ReservedConcurrentExecutions",
        "integer",
        least=0,
        most=100_000,
        doc="environments of this function at once (default: as many as the node; 0 stops it)",
    ),
    Setting("Preload", "boolean", default=False, doc="import the code before environments are forked"),
    Setting("EventInvokeConfig", "any", refusal=NOT_YET, doc="what happens to asynchronous invocations"),
    Setting("DeadLetterConfig", "any", refusal=NOT_YET, doc="where failed asynchronous invocations go"),
)

_MAPPING_FIRST = (
    Setting("Source", "text", required=True, doc="a name of the section Sources, or an ARN that names one"),
    Setting("EventFormat", "text", doc="the layout of the event (default: the source type's)"),
    Setting("Enabled", "boolean", default=True, doc="whether the mapping runs"),
)

_MAPPING_BOTH = (
    Setting("MaximumBatchingWindowInSeconds", "integer", least=0, most=300, unit="seconds", doc="how long to gather"),
    Setting(
        "MaximumBatchingWindowInMilliseconds",
        "integer",
        least=0,
        most=300_000,
        unit="milliseconds",
        doc="how long to gather a batch, from its first record on (instead of MaximumBatchingWindowInSeconds)",
    ),
    Setting(
        "RetryBackoff",
        "section",
        doc="how long to wait before a retry",
        fields=(
            Setting("InitialMs", "integer", default=_BACKOFF.initial_ms, least=0, most=86_400_000, unit="milliseconds"),
            Setting("MaximumMs", "integer", default=_BACKOFF.maximum_ms, least=0, most=86_400_000, unit="milliseconds"),
            Setting("Multiplier", "number", default=_BACKOFF.multiplier, least=1, most=1000),
        ),
    ),
    Setting("FunctionResponseTypes", "any", default=[], refusal=NOT_YET, doc="[ReportBatchItemFailures]"),
    Setting("FilterCriteria", "any", default={}, doc="which records the function sees: {Filters: [{Pattern: …}]}"),
    Setting("ProvisionedPollerConfig", "any", default={}, refusal=NOT_YET, doc="how many pollers"),
    Setting("MetricsConfig", "any", default={}, refusal=NOT_YET, doc="which metrics"),
    Setting("LoggingConfig", "any", default={}, refusal=NOT_YET, doc="how much is logged"),
    Setting("Tags", "any", default={}, refusal=NOT_YET, doc="tags of the mapping"),
    Setting("KMSKeyArn", "any", refusal=NOT_YET, doc="a key for the filters"),
    Setting("EventSourceArn", "any", refusal="is not for files: name the source with Source, by its name or ARN"),
    Setting("FunctionName", "any", refusal="is not for files: the function is the one that the event stands in"),
)

_STREAM_ONLY = (
    Setting(
        "StartingPosition",
        "choice",
        required=True,
        choices=("TRIM_HORIZON", "LATEST", "AT_TIMESTAMP"),
        doc="TRIM_HORIZON, LATEST or AT_TIMESTAMP",
    ),
    Setting("StartingPositionTimestamp", "any", doc="Unix seconds or an ISO 8601 time, with AT_TIMESTAMP alone"),
    Setting("BatchSize", "integer", default=100, least=1, most=10_000, doc="the most records of one event"),
    Setting("MaximumRetryAttempts", "integer", default=-1, least=-1, most=10_000, doc="-1 is without end"),
    Setting("MaximumRecordAgeInSeconds", "integer", default=-1, refusal=NOT_YET, doc="after how long to give up"),
    Setting("BisectBatchOnFunctionError", "boolean", default=False, refusal=NOT_YET, doc="split what failed"),
    Setting("ParallelizationFactor", "integer", default=1, refusal=NOT_YET, doc="lanes per shard"),
    Setting("TumblingWindowInSeconds", "integer", default=0, refusal=NOT_YET, doc="length of a window"),
    Setting("DestinationConfig", "any", default={}, refusal=NOT_YET, doc="where given-up records go"),
    Setting("MixPartitions", "boolean", default=False, refusal=NOT_YET, doc="events with several partitions"),
    Setting("OnDestinationRefusal", "any", refusal=NOT_YET, doc="hold or drop what a destination refuses"),
    Setting("MaximumDeliveryAttempts", "any", refusal=NOT_YET, doc="when a failed delivery is given up"),
    Setting("TumblingWindowIdleSeconds", "any", refusal=NOT_YET, doc="when an idle window closes"),
)

_QUEUE_ONLY = (
    Setting("BatchSize", "integer", default=10, least=1, most=10_000, doc="the most messages of one event"),
    Setting(
        "ScalingConfig",
        "section",
        doc="how many invocations at once",
        fields=(
            Setting("MaximumConcurrency", "integer", least=1, most=1000, doc="invocations of this mapping at once"),
            Setting("Policy", "any", default="eager", refusal=NOT_YET, doc="how fast concurrency grows"),
        ),
    ),
    Setting("GroupFailureMode", "any", refusal=NOT_YET, doc="what a failure in a message group holds back"),
    Setting(
        "OnFiltered",
        "choice",
        default="delete",
        choices=("delete", "keep", "dead-letter"),
        doc="what becomes of a message that no filter matches: deleted, as on AWS, or left for others",
    ),
)


def _others(table: tuple[Setting, ...], own: tuple[Setting, ...], refusal: str) -> tuple[Setting, ...]:
    """Make what belongs to the other kind of source known, and refused with the reason (`D42`)."""
    names = {setting.name for setting in own}
    return tuple(
        Setting(setting.name, "any", refusal=refusal, doc=setting.doc) for setting in table if setting.name not in names
    )


STREAM_MAPPING = (
    *_MAPPING_FIRST,
    *_STREAM_ONLY,
    *_MAPPING_BOTH,
    *_others(_QUEUE_ONLY, _STREAM_ONLY, "is for queues; this source is a stream"),
)
QUEUE_MAPPING = (
    *_MAPPING_FIRST,
    *_QUEUE_ONLY,
    *_MAPPING_BOTH,
    *_others(_STREAM_ONLY, _QUEUE_ONLY, "is for streams; this source is a queue"),
)

EVENT_FORMATS_SUPPORTED = ("kinesis", "kafka", "sqs")
EVENT_FORMATS_LATER = ("rmq", "dynamodb")

BATCHING_WINDOW_MS_BY_FORMAT = {"kafka": 500, "rmq": 500}
"""The window where none is given, by the layout's service, as on AWS (`lambda-semantics.md §1.3`): 500 ms for Kafka and
MQ, else 0. A batch that is full does not wait for it."""


def mapping_table(kind: str, own: tuple[Setting, ...]) -> tuple[Setting, ...]:
    """Join the keys of a mapping with those that the source's type adds; the type can not redefine Lambda's."""
    base = STREAM_MAPPING if kind == "stream" else QUEUE_MAPPING
    names = {setting.name for setting in base}
    return (*base, *(setting for setting in own if setting.name not in names))


def source_table(kind: str, own: tuple[Setting, ...]) -> tuple[Setting, ...]:
    """Join the keys of every source with a type's own; a type may say its own default of `Create`."""
    base = (*SOURCE, *QUEUE_SOURCE) if kind == "queue" else SOURCE
    overridden = {setting.name for setting in own if setting.name in {"Create", "VisibilityTimeout"}}
    names = {setting.name for setting in base}
    return (
        *(setting for setting in base if setting.name not in overridden),
        *(setting for setting in own if setting.name in overridden or setting.name not in names),
    )
