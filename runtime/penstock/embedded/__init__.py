"""The built-in plugin: streams and queues in one SQLite file, with no broker to start."""
