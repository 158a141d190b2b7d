"""The `penstock` command. `main` is its entry; each command is a module of its own, imported when it is called."""

from penstock.cli.group import main, penstock

__all__ = ["main", "penstock"]
