"""Nodes that are killed again and again, with everything that a mapping can do switched on.

`python tests/torture/run.py WHAT --kills 50` writes to real brokers without a pause, kills nodes at random moments,
starts them again, and compares in the end what the functions and the destinations have with what was written.
`make torture WHAT=… KILLS=50` starts Kafka besides. CI runs it with a few kills (`tests/e2e/test_*_torture.py`).

- `strikes`: when and how a run of a node is ended

Streams (`kafka`), whose destination is cut off now and then:

- `project`: the mappings and their settings
- `flow`: what is written, and what has to become of it
- `books`: what must be true in the end
- `torture`: the kills

Queues, whose broker is restarted now and then: `queues` is a folder of its own.
"""
