"""Compares what a plugin's author wrote with what the engine calls, and quotes both.

A wrong parameter is found when the plugin is loaded or its source is opened, never in the middle of the night.
"""

import inspect
from collections.abc import Callable
from typing import Any

from penstock.api import PenstockError


class PluginError(PenstockError):
    """A plugin that does not keep to the API. The text quotes its own signature beside the one that is wanted."""


def check_callable(found: object, *, called: str, parameters: tuple[str, ...]) -> None:
    """Refuse a function that can not be called with so many positional arguments.

    Raises PluginError; `called` is how the author knows it, such as `SourceType 'tape': open_stream`.
    """
    wanted = f"({', '.join(parameters)})"
    if not callable(found):
        raise PluginError(f"{called} is {found!r}; wanted is a function {wanted}")
    signature = _signature_of(found)
    if signature is None:
        return
    try:
        signature.bind(*parameters)
    except TypeError:
        raise PluginError(f"{called} is {_name_of(found)}{signature}; it is called with {wanted}") from None


def check_source(source: object, protocol: type) -> None:
    """Refuse an object that lacks a method of a protocol, or has one with other parameters.

    Call it with what `open_stream` or `open_queue` returned:

    ```python
    check_source(opened, StreamSource)
    ```

    Raises PluginError with every difference, one per line. Return types and annotations are not compared.
    """
    differences = [
        difference
        for name, wanted in _methods_of(protocol)
        if (difference := _difference(source, name, wanted)) is not None
    ]
    if differences:
        where = type(source).__name__
        raise PluginError(f"{where} is not a {protocol.__name__}: " + "; ".join(differences))


def _methods_of(protocol: type) -> list[tuple[str, Callable[..., Any]]]:
    return [
        (name, member)
        for name, member in vars(protocol).items()
        if inspect.isfunction(member) and not name.startswith("_")
    ]


def _difference(source: object, name: str, wanted: Callable[..., Any]) -> str | None:
    wanted_signature = _without_self(inspect.signature(wanted))
    kind = "async def" if inspect.iscoroutinefunction(wanted) else "def"
    wanted_text = f"{kind} {name}{wanted_signature}"
    method = getattr(source, name, None)
    if not callable(method):
        return f"it has no method '{name}', wanted is `{wanted_text}`"
    found_signature = _signature_of(method)
    if found_signature is None or _accepts(found_signature, wanted_signature):
        return None
    found_kind = "async def" if inspect.iscoroutinefunction(method) else "def"
    return f"found `{found_kind} {name}{found_signature}`, wanted is `{wanted_text}`"


def _accepts(found: inspect.Signature, wanted: inspect.Signature) -> bool:
    """Tell whether a call that suits one signature suits the other, by position and by name."""
    parameters = list(wanted.parameters.values())
    keyword_only = {each.name: None for each in parameters if each.kind is each.KEYWORD_ONLY}
    ordinary = [each.name for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD]
    try:
        found.bind(*ordinary, **keyword_only)
        found.bind(**dict.fromkeys(ordinary), **keyword_only)
    except TypeError:
        return False
    return True


def _without_self(signature: inspect.Signature) -> inspect.Signature:
    return signature.replace(parameters=list(signature.parameters.values())[1:])


def _signature_of(found: Callable[..., Any]) -> inspect.Signature | None:
    try:
        return inspect.signature(found)
    except (TypeError, ValueError):  # a function written in C need not tell its parameters
        return None


def _name_of(found: Callable[..., Any]) -> str:
    return str(getattr(found, "__qualname__", type(found).__name__))
