"""How a plugin describes its settings, so that one validator, one schema and one masking serve all of them.

```python
Setting("Topic", "text", required=True, doc="the topic to read")
Setting("Sasl", "section", fields=(Setting("Username", "text"), Setting("Password", "text", secret=True)))
```
"""

from dataclasses import dataclass
from typing import Any, Literal

SettingKind = Literal["text", "integer", "number", "boolean", "choice", "path", "texts", "map", "section", "any"]


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: its name as the user writes it, what it takes, and one line that says what it is for.

    Kinds: `text`; `integer`, `number` within `least`..`most`; `boolean`; `choice` of `choices`; `path`, resolved
    against the file's folder before a plugin sees it; `texts`, a list of texts or one text with commas, out of
    `choices` where there are some; `map`, names to texts; `section`, an object with `fields`; `any`, which the plugin
    checks itself. `unit` is shown where a number has one. `refusal` makes a known setting one that is refused, with
    that reason.
    """

    name: str
    kind: SettingKind
    doc: str = ""
    required: bool = False
    default: Any = None
    least: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = ()
    fields: tuple["Setting", ...] = ()
    secret: bool = False
    unit: str = ""
    refusal: str = ""
