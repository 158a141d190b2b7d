"""What a filter sees of a record, by event format (`lambda-semantics.md §6.1, §6.2`): one row of a table for each.

A pattern names the record's data by one key (`body`, `data`, `value`, `dynamodb`), and whatever else the record carries
by the names that it has in the event. What a filter on data means depends on what the data turns out to be: a filter on
fields wants JSON, a filter on the text itself wants plain text. Where they do not fit, SQS, Kinesis and DynamoDB say
that the filter does not match; Kafka and the MQ brokers say that the filter on data does not count.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from penstock.core.patterns.data import DataKind
from penstock.core.patterns.formula import ALWAYS, NEVER, And, Condition, Formula, Or, conditions, simplify
from penstock.core.patterns.parse import PatternWarning
from penstock.core.patterns.refusal import PatternRefused


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """How records of one event format look to a filter.

    `names` are the keys beside the data that a record has. `text_allowed`: patterns may speak of the data as plain
    text. `misfit_counts`: a filter on data that does not fit the data fails; else it is passed over. `binary_passes`:
    data that is not UTF-8 leaves the rest of a filter to decide, or fails it (None: it is the text that events show,
    base64).
    """

    event_format: str
    data_key: str
    names: frozenset[str]
    text_allowed: bool
    misfit_counts: bool
    binary_passes: bool | None

    def is_on_data(self, condition: Condition) -> bool:
        """Tell the conditions on data from those on what else a record carries."""
        return condition.path[0] == self.data_key

    def for_data(self, formula: Formula, kind: DataKind) -> Formula:
        """Decide beforehand what can be decided of a formula when it is known what the data is."""
        if kind is DataKind.BINARY and self.binary_passes is False:
            return NEVER
        return simplify(self._decided(formula, kind))

    def _decided(self, formula: Formula, kind: DataKind) -> Formula:
        match formula:
            case Condition():
                return self._condition(formula, kind)
            case And(parts):
                return And(tuple(self._decided(part, kind) for part in parts))
            case Or(branches, where):
                return Or(tuple(self._decided(branch, kind) for branch in branches), where)

    def _condition(self, condition: Condition, kind: DataKind) -> Formula:
        if not self.is_on_data(condition):
            return condition
        if kind is DataKind.BINARY and self.binary_passes:
            return ALWAYS
        if (kind is DataKind.JSON) == (len(condition.path) > 1):
            return condition
        return NEVER if self.misfit_counts else ALWAYS

    def hold(self, formula: Formula, index: int) -> list[PatternWarning]:
        """Refuse what records of this format can not be asked, and warn of what none of them has."""
        warnings = []
        for each in conditions(formula):
            if each.path == (self.data_key,) and not self.text_allowed:
                raise PatternRefused(
                    f'"{self.data_key}" must be an object',
                    path=each.where,
                    found=each.wanted,
                    allowed=f"fields of the data; {self.event_format} records can not be filtered by plain text",
                    index=index,
                )
            if each.path[0] != self.data_key and each.path[0] not in self.names:
                known = ", ".join(sorted({self.data_key, *self.names}))
                text = f"no {self.event_format} record has '{each.path[0]}'; there are {known}"
                warnings.append(PatternWarning(index, each.where, text))
        return warnings


_KINESIS = frozenset({"partitionKey", "sequenceNumber", "approximateArrivalTimestamp", "kinesisSchemaVersion"})
_EVENT = frozenset({"eventSource", "eventVersion", "eventID", "eventName", "awsRegion", "eventSourceARN"})

FRAMES: Mapping[str, Frame] = MappingProxyType(
    {
        frame.event_format: frame
        for frame in (
            Frame(
                event_format="sqs",
                data_key="body",
                names=frozenset(
                    {"messageId", "receiptHandle", "attributes", "messageAttributes", "md5OfBody"}
                    | {"md5OfMessageAttributes", "eventSource", "eventSourceARN", "awsRegion"}
                ),
                text_allowed=True,
                misfit_counts=True,
                binary_passes=None,
            ),
            Frame(
                event_format="kinesis",
                data_key="data",
                names=_KINESIS | _EVENT | {"kinesis", "invokeIdentityArn"},
                text_allowed=False,
                misfit_counts=True,
                binary_passes=False,
            ),
            Frame(
                event_format="dynamodb",
                data_key="dynamodb",
                names=_EVENT | {"userIdentity"},
                text_allowed=False,
                misfit_counts=True,
                binary_passes=False,
            ),
            Frame(
                event_format="kafka",
                data_key="value",
                names=frozenset(
                    {"topic", "partition", "offset", "timestamp", "timestampType", "key", "headers"}
                    | {"eventSource", "bootstrapServers"}
                ),
                text_allowed=True,
                misfit_counts=False,
                binary_passes=True,
            ),
            Frame(
                event_format="rmq",
                data_key="data",
                names=frozenset({"basicProperties", "redelivered", "eventSource", "eventSourceArn"}),
                text_allowed=True,
                misfit_counts=False,
                binary_passes=True,
            ),
        )
    }
)
"""Every event format that has filters. Records of `dynamodb` can only be given as the event shows them."""
