"""Event patterns: the language in which a mapping says which records its function sees (`lambda-semantics.md §6`).

`compile_patterns` gives a `Matcher` for events of any kind; `FilterCriteria` gives the filter of a mapping, which knows
what a record of its event format is made of.
"""

from penstock.core.patterns.criteria import FilterCriteria, RecordFilter
from penstock.core.patterns.data import DataKind, classify
from penstock.core.patterns.explain import Explanation, Reason
from penstock.core.patterns.frame import FRAMES, Frame
from penstock.core.patterns.matcher import Matcher, compile_patterns
from penstock.core.patterns.parse import CHARACTERS_MAX, PatternWarning
from penstock.core.patterns.refusal import AWS_WORDS, PatternRefused

__all__ = [
    "AWS_WORDS",
    "CHARACTERS_MAX",
    "FRAMES",
    "DataKind",
    "Explanation",
    "FilterCriteria",
    "Frame",
    "Matcher",
    "PatternRefused",
    "PatternWarning",
    "Reason",
    "RecordFilter",
    "classify",
    "compile_patterns",
]
