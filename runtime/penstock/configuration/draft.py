"""A mapping on its way: every setting checked on its own, and not yet how they go together."""

from dataclasses import dataclass

from penstock.configuration.functions import Function
from penstock.configuration.sources import Source
from penstock.configuration.validator import Part


@dataclass(frozen=True, slots=True)
class Draft:
    """What the settings of a mapping are made of."""

    name: str
    part: Part
    source: Source
    function: Function
    event_format: str
