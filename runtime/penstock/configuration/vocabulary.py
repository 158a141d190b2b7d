"""The words of a configuration, as tables of `Setting`: what is not here is not known.

Names, ranges and defaults are Lambda's (`lambda-semantics.md §1`); what the engine does not do yet is here with a
refusal, so that it is never ignored. A source type's own settings come from its plugin.
"""

from dataclasses import replace

from penstock.api import QueueCapabilities, Setting, SourceType, Start
from penstock.core.settings import RetryBackoff, StreamSettings

NOT_YET = "is not supported yet"
DEAD_LETTER_TARGET = "the name or ARN of a source that can be written"
DESTINATIONS = "a source's name or ARN, file:FOLDER, function:NAME, or an address that a plugin knows"

_BACKOFF = RetryBackoff()

RECORD_AGE_S_LEAST = 60
RECORD_AGE_S_MOST = 604_800
TUMBLING_IDLE_MS = StreamSettings(start=Start("TRIM_HORIZON")).tumbling_idle_ms

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
    Setting(
        "RedrivePolicy",
        "section",
        doc="where messages go that failed too often",
        fields=(
            Setting("maxReceiveCount", "integer", required=True, least=1, most=1000, doc="how often a message is run"),
            Setting("deadLetterTargetArn", "text", required=True, doc=DEAD_LETTER_TARGET),
        ),
    ),
    Setting("FifoQueue", "boolean", default=False, doc="messages have groups, and keep their order within each"),
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
    Setting("FilterCriteria", "any", default={}, doc="which records the function sees: {Filters: [{Pattern: …}]}"),
    Setting("ProvisionedPollerConfig", "any", default={}, refusal=NOT_YET, doc="how many pollers"),
    Setting("MetricsConfig", "any", default={}, refusal=NOT_YET, doc="which metrics"),
    Setting("LoggingConfig", "any", default={}, refusal=NOT_YET, doc="how much is logged"),
    Setting("Tags", "any", default={}, refusal=NOT_YET, doc="tags of the mapping"),
    Setting("KMSKeyArn", "any", refusal=NOT_YET, doc="a key for the filters"),
    Setting("EventSourceArn", "any", refusal="is not for files: name the source with Source, by its name or ARN"),
    Setting("FunctionName", "any", refusal="is not for files: the function is the one that the event stands in"),
)

_DESTINATION = (
    Setting("Destination", "text", doc=DESTINATIONS),
    Setting("IncludePayload", "boolean", default=True, doc="whether the records themselves are sent along"),
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
    Setting(
        "MaximumRecordAgeInSeconds",
        "integer",
        default=-1,
        least=-1,
        most=RECORD_AGE_S_MOST,
        unit="seconds",
        doc=f"when a record is given up for its age: -1 (never), or {RECORD_AGE_S_LEAST} to {RECORD_AGE_S_MOST}",
    ),
    Setting(
        "BisectBatchOnFunctionError",
        "boolean",
        default=False,
        doc="split a batch that failed, until the record that fails is alone",
    ),
    Setting(
        "FunctionResponseTypes",
        "texts",
        default=(),
        choices=("ReportBatchItemFailures",),
        doc="[ReportBatchItemFailures]: the function's response says from which record on it failed",
    ),
    Setting(
        "ParallelizationFactor",
        "integer",
        default=1,
        least=1,
        most=10,
        doc="how many batches of one shard run at once; records of one key stay in order",
    ),
    Setting(
        "TumblingWindowInSeconds",
        "integer",
        default=0,
        least=0,
        most=900,
        unit="seconds",
        doc="the length of the windows over which the function carries a state (0: none)",
    ),
    Setting(
        "TumblingWindowIdleSeconds",
        "number",
        least=0,
        most=3600,
        unit="seconds",
        doc=f"how long after its end a window without new records closes (default: {TUMBLING_IDLE_MS // 1000} seconds)",
    ),
    Setting(
        "DestinationConfig",
        "section",
        doc="where the records of invocations go",
        fields=(
            Setting("OnFailure", "section", fields=_DESTINATION, doc="where what is given up goes"),
            Setting("OnSuccess", "section", fields=_DESTINATION, doc="where what the function returned goes"),
        ),
    ),
    Setting(
        "OnDestinationRefusal",
        "choice",
        choices=("hold", "drop"),
        doc="what to do where a destination refuses for good: wait for somebody (hold, the default), or go on (drop)",
    ),
    Setting(
        "MaximumDeliveryAttempts",
        "integer",
        least=1,
        doc="how often a destination that fails is tried (default: until it takes the record)",
    ),
    Setting("MixPartitions", "boolean", default=False, refusal=NOT_YET, doc="events with several partitions"),
)

_QUEUE_ONLY = (
    Setting("BatchSize", "integer", default=10, least=1, most=10_000, doc="the most messages of one event"),
    Setting(
        "ScalingConfig",
        "section",
        doc="how many invocations at once",
        fields=(
            Setting("MaximumConcurrency", "integer", least=1, most=1000, doc="invocations of this mapping at once"),
            Setting(
                "Policy",
                "choice",
                default="eager",
                choices=("eager", "lambda", "lambda-2023"),
                doc="how fast concurrency grows: at once, or as on AWS today or in 2023",
            ),
        ),
    ),
    Setting(
        "FunctionResponseTypes",
        "texts",
        default=(),
        choices=("ReportBatchItemFailures",),
        doc="[ReportBatchItemFailures]: the function's response says which messages failed",
    ),
    Setting(
        "GroupFailureMode",
        "choice",
        choices=("group", "aws"),
        doc="what a failure in a FIFO queue holds back: the later ones of its group (group, the default), or nothing",
    ),
    Setting(
        "OnFiltered",
        "choice",
        default="delete",
        choices=("delete", "keep", "dead-letter"),
        doc="what becomes of a message that no filter matches: deleted, as on AWS, left for others, or a dead letter",
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

EVENT_FORMATS_SUPPORTED = ("kinesis", "kafka", "sqs", "rmq")
EVENT_FORMATS_LATER = ("dynamodb",)

BATCHING_WINDOW_MS_BY_FORMAT = {"kafka": 500, "rmq": 500}
"""The window where none is given, by the layout's service, as on AWS (`lambda-semantics.md §1.3`): 500 ms for Kafka and
MQ, else 0. A batch that is full does not wait for it."""


def mapping_table(kind: str, own: tuple[Setting, ...]) -> tuple[Setting, ...]:
    """Join the keys of a mapping with those that the source's type adds; the type can not redefine Lambda's."""
    base = STREAM_MAPPING if kind == "stream" else QUEUE_MAPPING
    names = {setting.name for setting in base}
    return (*base, *(setting for setting in own if setting.name not in names))


def source_table(source_type: SourceType) -> tuple[Setting, ...]:
    """Join the keys of every source with a type's own; a type may say its own default of `Create`."""
    own, capabilities = source_type.settings, source_type.capabilities
    base: tuple[Setting, ...] = (*SOURCE, *QUEUE_SOURCE) if source_type.kind == "queue" else SOURCE
    if isinstance(capabilities, QueueCapabilities) and not capabilities.grouped:
        no_groups = f"a source of type {source_type.name} has no message groups"
        base = tuple(replace(each, refusal=no_groups) if each.name == "FifoQueue" else each for each in base)
    overridden = {setting.name for setting in own if setting.name in {"Create", "VisibilityTimeout"}}
    names = {setting.name for setting in base}
    return (
        *(setting for setting in base if setting.name not in overridden),
        *(setting for setting in own if setting.name in overridden or setting.name not in names),
    )
