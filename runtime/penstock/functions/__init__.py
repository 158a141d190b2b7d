"""Functions: code in processes of its own, one invocation each at a time. See `README.md` beside this file."""

from penstock.functions.check import CodeProblem, check_code, check_import
from penstock.functions.host import FunctionHost
from penstock.functions.interpreters import find_interpreter
from penstock.functions.pool import PythonExecutor

__all__ = ["CodeProblem", "FunctionHost", "PythonExecutor", "check_code", "check_import", "find_interpreter"]
