"""A node that is killed again and again, with everything that a stream mapping can do switched on.

`python tests/torture/run.py --kills 50` writes records to a real Kafka without a pause, kills the node at random
moments, restarts it, cuts its destination off now and then, and compares in the end what its functions and its
destinations have with what was written. `make torture KILLS=50` starts the brokers besides. CI runs it with a few
kills (`tests/e2e/test_kafka_torture.py`).

- `project`: the mappings and their settings
- `flow`: what is written, and what has to become of it
- `books`: what must be true in the end
- `torture`: the kills
"""
