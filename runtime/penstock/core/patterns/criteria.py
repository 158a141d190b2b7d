"""A mapping's filters: `FilterCriteria` compiled once, and the filter of one source or shard made of it.

```python
criteria = FilterCriteria(['{"value": {"total": [{"numeric": [">", 100]}]}, "key": [{"prefix": "eu-"}]}'], "kafka")
keep = criteria.record_filter(origin).keep
kept = keep(records)
```
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Generic, TypeVar

from penstock.api import Message, Record
from penstock.core.events import Origin
from penstock.core.patterns.data import CAN_NOT_READ, DataKind, classify, decode_json
from penstock.core.patterns.explain import Explanation, Reason, reason_against
from penstock.core.patterns.formula import NEVER, conditions
from penstock.core.patterns.frame import FRAMES, Frame
from penstock.core.patterns.matcher import Matcher
from penstock.core.patterns.metadata import MESSAGES, RECORDS, builder, text_of
from penstock.core.patterns.needles import lacks_needles
from penstock.core.patterns.parse import CHARACTERS_MAX, parse_pattern
from penstock.core.patterns.refusal import PatternRefused

T = TypeVar("T", Record, Message)
Metadata = Callable[[Any], dict[str, Any]]


class FilterCriteria:
    """The patterns of one mapping, for one event format. Immutable; an empty list keeps everything.

    Raises PatternRefused for a pattern that is wrong, or that records of this format can not be asked. `warnings` is
    what is allowed in them and probably not meant.
    """

    def __init__(
        self,
        patterns: Sequence[str | Mapping[Any, Any]],
        event_format: str,
        *,
        characters_max: int = CHARACTERS_MAX,
    ) -> None:
        if event_format not in FRAMES:
            raise PatternRefused(
                "Records of this event format can not be filtered", found=event_format, allowed=", ".join(FRAMES)
            )
        self.frame: Frame = FRAMES[event_format]
        parsed = [
            parse_pattern(each, index=number, characters_max=characters_max) for number, each in enumerate(patterns)
        ]
        self.formulas = tuple(each.formula for each in parsed)
        warnings = [warning for each in parsed for warning in each.warnings]
        for index, formula in enumerate(self.formulas):
            warnings += self.frame.hold(formula, index)
        self.warnings = tuple(warnings)
        self.matchers = {
            kind: Matcher([self.frame.for_data(formula, kind) for formula in self.formulas]) for kind in DataKind
        }

    @cached_property
    def metadata_names(self) -> tuple[str, ...]:
        """The keys beside the data that the patterns name."""
        asked = (each for formula in self.formulas for each in conditions(formula) if not self.frame.is_on_data(each))
        return tuple(dict.fromkeys(each.path[0] for each in asked))

    @cached_property
    def is_on_data(self) -> bool:
        """Tell whether any pattern asks of the data."""
        return any(self.frame.is_on_data(each) for formula in self.formulas for each in conditions(formula))

    def record_filter(self, origin: Origin) -> "RecordFilter[Any]":
        """Make the filter of one queue, or of one shard of a stream."""
        return RecordFilter(self, origin)

    def decide(self, kind: DataKind, data: Any, metadata: Mapping[str, Any]) -> bool:
        """Decide over a record that has been read already."""
        return not self.formulas or self.matchers[kind].matches(self._event(kind, data, metadata))

    def explain(self, kind: DataKind, data: Any, metadata: Mapping[str, Any]) -> Explanation:
        """Say why a record is kept, or for each filter why it is not."""
        if not self.formulas:
            return Explanation(matches=True, index=None, reasons=())
        event = self._event(kind, data, metadata)
        found = self.matchers[kind].explain(event)
        if found.matches:
            return found
        reasons = [self._reason(index, kind, event) for index in range(len(self.formulas))]
        return Explanation(matches=False, index=None, reasons=tuple(reasons))

    def _event(self, kind: DataKind, data: Any, metadata: Mapping[str, Any]) -> dict[str, Any]:
        return {**metadata, self.frame.data_key: text_of(data) if kind is DataKind.BINARY else data}

    def _reason(self, index: int, kind: DataKind, event: dict[str, Any]) -> Reason:
        left = self.matchers[kind].formulas[index]
        if left != NEVER:
            return reason_against(left, event, index=index)
        wants_fields = any(
            self.frame.is_on_data(each) and len(each.path) > 1 for each in conditions(self.formulas[index])
        )
        wanted = "a JSON object" if wants_fields else "plain text"
        if kind is DataKind.BINARY and self.frame.binary_passes is False:
            wanted = "UTF-8"
        return Reason(index, self.frame.data_key, wanted, kind.value)


class RecordFilter(Generic[T]):
    """Decides which records of one source or shard a mapping's function sees.

    Each record's data is read once at most, and not at all where its bytes lack what every pattern wants.
    """

    keeps: Callable[[T], bool]
    """Tell whether a record is kept."""

    def __init__(self, criteria: FilterCriteria, origin: Origin) -> None:
        event_format = criteria.frame.event_format
        if event_format not in RECORDS and event_format not in MESSAGES:
            raise PatternRefused(
                "Records of this event format can not be filtered yet",
                found=event_format,
                allowed=", ".join((*RECORDS, *MESSAGES)),
            )
        self.criteria = criteria
        self._is_queue = event_format in MESSAGES
        self._metadata = builder(event_format, criteria.metadata_names, origin)
        self.keeps = self._make_keeps()

    def keep(self, records: Sequence[T]) -> list[T]:
        """Give the records that are kept, in their order."""
        keeps = self.keeps
        return [record for record in records if keeps(record)]

    def explain(self, record: T) -> Explanation:
        """Say why a record is kept, or for each filter why it is not."""
        return self.criteria.explain(*self._read(record), self._metadata(record) if self._metadata else {})

    def _read(self, record: Any) -> tuple[DataKind, Any]:
        raw = record.body if isinstance(record, Message) else record.value
        # On Kinesis there are no records without data: the event shows an empty one (`KinesisLayout`).
        if raw is None and self.criteria.frame.event_format == "kinesis":
            raw = b""
        return classify(raw)

    def _make_keeps(self) -> Callable[[T], bool]:
        criteria = self.criteria
        if not criteria.formulas:
            return lambda _: True
        metadata = self._metadata
        if not criteria.is_on_data and criteria.frame.binary_passes is not False:
            matches = criteria.matchers[DataKind.NONE].matches
            return (lambda record: matches(metadata(record))) if metadata else (lambda _: matches({}))
        return self._keeps_by_data(metadata)

    def _keeps_by_data(self, metadata: Metadata | None) -> Callable[[T], bool]:
        key = self.criteria.frame.data_key
        matches = self.criteria.matchers[DataKind.JSON].matches
        decode = decode_json
        by_kind = self._keeps_by_kind
        if self._is_queue:

            def raw_of(record: Any) -> bytes | None:
                return record.body  # type: ignore[no-any-return] # a message, by the event format
        else:

            def raw_of(record: Any) -> bytes | None:
                return record.value  # type: ignore[no-any-return] # a record, by the event format

        def keeps(record: T) -> bool:
            raw = raw_of(record)
            try:
                # None goes the same way as what is no JSON.
                data = decode(raw or b"")
            except CAN_NOT_READ:
                return by_kind(record)
            # A single number, text or constant counts as plain text.
            if data.__class__ is not dict and data.__class__ is not list:
                return by_kind(record)
            return matches({key: data, **metadata(record)} if metadata else {key: data})

        lacks = self._lacks_needles()
        if lacks is None:
            return keeps
        return lambda record: not ((raw := raw_of(record)) is not None and lacks(raw)) and keeps(record)

    def _keeps_by_kind(self, record: T) -> bool:
        return self.criteria.decide(*self._read(record), self._metadata(record) if self._metadata else {})

    def _lacks_needles(self) -> Callable[[bytes], bool] | None:
        """Make the check of bytes that need not be read: only where what is no JSON would not be kept either."""
        criteria = self.criteria
        never_otherwise = all(
            formula == NEVER
            for kind in DataKind
            if kind is not DataKind.JSON
            for formula in criteria.matchers[kind].formulas
        )
        if not never_otherwise:
            return None
        return lacks_needles(criteria.matchers[DataKind.JSON].formulas, criteria.frame.is_on_data)
