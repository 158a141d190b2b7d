"""`penstock demo`: a stream and a queue without a broker, and everything the engine does with them, live."""

from penstock.cli.demo.command import demo

__all__ = ["demo"]
