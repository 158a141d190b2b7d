"""What survives a restart: one SQLite file in the data directory, so far with the states of tumbling windows.

Everything here blocks and belongs to one thread; `penstock.shell.window_states` is its asyncio face.
"""

from penstock.store.errors import StoreError
from penstock.store.states import LoadedState, StateStore, WindowState

__all__ = ["LoadedState", "StateStore", "StoreError", "WindowState"]
