"""The script that a template process runs: `python template_main.py CONTROL_DESCRIPTOR`.

It stays readable for any Python that a function might name by mistake, and says so where that one is too old.
"""

import sys

if sys.version_info < (3, 8):  # noqa: UP036 - a function may name any interpreter, not only those that run the node
    sys.exit("it is Python " + sys.version.split()[0] + ", and functions need Python 3.8 or newer")

import os
import types

_HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - pathlib would stay in every template

# The folder of a script stands first on sys.path; a function's own module `context` must not find ours.
sys.path[:] = [_entry for _entry in sys.path if _entry != _HERE]

# The modules beside this file are known by their full name, without importing the runtime's package, which the
# function's interpreter may not have. The names are taken away again, so that a function may import the real one.
for _name in ("penstock", "penstock.functions", "penstock.functions.bootstrap"):
    _package = types.ModuleType(_name)
    _package.__path__ = [_HERE] if _name.endswith("bootstrap") else []
    sys.modules[_name] = _package

from penstock.functions.bootstrap import template  # noqa: E402 - it can be found only now

for _name in [_name for _name in sys.modules if _name.partition(".")[0] == "penstock"]:
    del sys.modules[_name]

if __name__ == "__main__":
    template.main(int(sys.argv[1]))
