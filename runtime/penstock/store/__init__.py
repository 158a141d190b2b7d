"""What survives a restart: one SQLite file in the data directory, with the states of
tumbling windows and the runs of messages.

Everything here blocks and belongs to one thread; `penstock.shell.window_states` and
`penstock.shell.message_runs` are its asyncio faces.
"""

from penstock.store.errors import StoreError
from penstock.store.runs import RunStore
from penstock.store.states import LoadedState, StateStore, WindowState

__all__ = ["LoadedState", "RunStore", "StateStore", "StoreError", "WindowState"]
