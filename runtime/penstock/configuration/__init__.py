"""The configuration: `load()` reads a file, `schema()` describes one.

```python
project = load("penstock.yaml", load_plugins())
mask = mask_function(project.secrets)
```
"""

from penstock.configuration.findings import ConfigurationError
from penstock.configuration.load import load
from penstock.configuration.masking import MASK, mask_function
from penstock.configuration.names import find_source, mapping_uuid
from penstock.configuration.node import is_listen
from penstock.configuration.project import (
    DestinationConfig,
    Finding,
    FunctionConfig,
    MappingConfig,
    NodeSettings,
    Project,
    SourceConfig,
)
from penstock.configuration.schema import schema

__all__ = [
    "MASK",
    "ConfigurationError",
    "DestinationConfig",
    "Finding",
    "FunctionConfig",
    "MappingConfig",
    "NodeSettings",
    "Project",
    "SourceConfig",
    "find_source",
    "is_listen",
    "load",
    "mapping_uuid",
    "mask_function",
    "schema",
]
