"""What an environment is told when it starts: its variables, its search path, where it stands."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from penstock.api import PAYLOAD_BYTES_MAX, FunctionSpec

_OF_THE_NODE = (
    "PATH",
    "HOME",
    "TZ",
    "LANG",
    *(name for lower in ("http_proxy", "https_proxy", "no_proxy", "all_proxy") for name in (lower, lower.upper())),
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "AWS_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
)


def of_the_node(inherit: tuple[str, ...] = (), environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Pick those of the node's own variables that functions see, and what `Environment.Inherit` names."""
    return {name: environ[name] for name in (*_OF_THE_NODE, *inherit) if name in environ}


def environment_variables(spec: FunctionSpec, *, environment_id: str, python_version: str) -> dict[str, str]:
    """List all that a function's `os.environ` holds. What it is comes from AWS, what it wants from its own section."""
    variables = of_the_node(spec.inherit)
    variables |= {
        "AWS_REGION": spec.region,
        "AWS_DEFAULT_REGION": spec.region,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_python{'.'.join(python_version.split('.')[:2])}",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
    }
    binaries = [str(layer / "bin") for layer in spec.layers if (layer / "bin").is_dir()]
    if binaries:
        variables["PATH"] = os.pathsep.join([*binaries, variables.get("PATH", os.defpath)])
    variables |= spec.environment
    variables |= {
        "_HANDLER": spec.handler,
        "LAMBDA_TASK_ROOT": str(spec.code),
        "AWS_LAMBDA_FUNCTION_NAME": spec.name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(spec.memory_mb or _memory_of_the_machine_mb()),
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{spec.name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": f"{datetime.now(UTC):%Y/%m/%d}/[$LATEST]{environment_id}",
    }
    return variables


def setup(spec: FunctionSpec, *, environment_id: str, python_version: str, interpreter: Path) -> dict[str, Any]:
    """Describe to an environment the function that it is for."""
    return {
        "handler": spec.handler,
        "arn": spec.arn,
        "environ": environment_variables(spec, environment_id=environment_id, python_version=python_version),
        "working_directory": str(spec.code),
        "search_path": _search_path(spec),
        "hint": missing_module_hint(spec, interpreter),
        "response_bytes_max": PAYLOAD_BYTES_MAX,
    }


def missing_module_hint(spec: FunctionSpec, interpreter: Path) -> str:
    """Say where modules were looked for, and the two settings that change it."""
    python = f"Python: is {interpreter}" if spec.python else f"Python: is not set, so {interpreter} runs it"
    layers = f"Layers: is {', '.join(map(str, spec.layers))}" if spec.layers else "Layers: is not set"
    return (
        f"({python}; {layers}. Install the module for that interpreter, or point Python: to a virtual environment "
        "or Layers: to a folder that has it)"
    )


def _search_path(spec: FunctionSpec) -> list[str]:
    found = [str(spec.code)]
    found += [entry for entry in spec.environment.get("PYTHONPATH", "").split(os.pathsep) if entry]
    for layer in spec.layers:
        found += [
            f"{layer}/python/lib/{{python}}/site-packages",
            f"{layer}/python",
            str(layer),
        ]
    return found


def _memory_of_the_machine_mb() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // (1024 * 1024)
