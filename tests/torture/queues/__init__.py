"""Nodes on queues that are killed again and again, while the broker is restarted.

- `kinds`: what a kind of queue is here, and what all kinds share; `redis_kinds` and `embedded_kinds` are the kinds
- `project`: the mappings and their settings, the same on every kind; `function` is what they run
- `flow`: what is sent, and what has to become of it
- `ledger`: what the functions wrote down
- `troubles`: what was done to the nodes and the brokers, and when
- `books`, `fates`, `order`: what must be true in the end
- `torture`: the kills, the drains, the standstills and the restarts
"""
