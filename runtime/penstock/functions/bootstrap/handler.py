"""Loading a handler: the words of AWS's Python runtime for what can go wrong, and a hint where it lacks one."""

from __future__ import annotations

import importlib
import sys
from typing import Any, Callable  # noqa: UP035 - evaluated at run time on Python 3.8

from penstock.functions.bootstrap.failures import InitFailure, document, from_exception

Handler = Callable[[Any, Any], Any]


def load(name: str, hint: str) -> Handler:
    """Import the module and find the function that `module.function` names. Raises InitFailure.

    `hint` is added where a module is missing: it says which interpreter and layers were searched.
    """
    module_name, dot, function_name = name.rpartition(".")
    if not dot:
        raise InitFailure(
            document(
                "Runtime.MalformedHandlerName",
                f"Bad handler '{name}': not enough values to unpack (expected 2, got 1)",
            )
        )
    if module_name.split(".")[0] in sys.builtin_module_names:
        raise InitFailure(
            document("Runtime.BuiltInModuleConflict", f"Cannot use built-in module {module_name} as a handler module")
        )
    module = _import(module_name, hint)
    try:
        found = getattr(module, function_name)
    except AttributeError:
        raise InitFailure(
            document("Runtime.HandlerNotFound", f"Handler '{function_name}' missing on module '{module_name}'")
        ) from None
    if not callable(found):
        place = f"Handler '{function_name}' on module '{module_name}'"
        raise InitFailure(
            document("Runtime.HandlerNotFound", f"{place} is not callable: its type is {type(found).__name__}")
        )
    handler: Handler = found
    return handler


def _import(module_name: str, hint: str) -> Any:
    try:
        return importlib.import_module(module_name.replace("/", "."))
    except ModuleNotFoundError as error:
        message = f"Unable to import module '{module_name}': {error}. {hint}"
        raise InitFailure(document("Runtime.ImportModuleError", message)) from None
    except ImportError as error:
        message = f"Unable to import module '{module_name}': {error}"
        raise InitFailure(document("Runtime.ImportModuleError", message)) from None
    except SyntaxError as error:
        trace = [f'  File "{error.filename}" Line {error.lineno}\n    {error.text}']
        message = f"Syntax error in module '{module_name}': {error}"
        raise InitFailure(document("Runtime.UserCodeSyntaxError", message, trace)) from None
    except Exception as error:  # noqa: BLE001 - the module's own code may raise anything
        raise InitFailure(from_exception(error)) from None
