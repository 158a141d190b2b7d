"""Whole machines under seeded faults, on a clock of whole numbers.

A seed draws a scenario (settings, a source, a function, faults) and then every chance in it, so the same seed gives the
same trace, byte for byte. Around the real machines of the core stands a world of models:

- `clock`: a heap of what happens when; time passes only when it is empty before;
- `stream_source`, `queue_source`: durable logs, checkpoints and leases, which survive every crash;
- `destination`: where invocation records go, and the stores that keep the state of windows;
- `function`: the executor, with poison records, timeouts, throttles and lost answers; `responses` and
  `queue_responses`: what it says;
- `stream_node`, `queue_node`: what the shell does: carries out commands and brings facts;
- `stream_checks`, `queue_checks`: the promises, looked at after every step. Those of a stream stand in a file each
  (`invoke_checks`, `outcome_checks`, `fate_checks`, `window_checks`, `checkpoint_checks`, `bound_checks`) around a
  model of the shard (`shard_model`), which says what may come next and goes to the next owner with each checkpoint.

`queue_scenario` draws the kind of broker: leases that end by time or with a connection, FIFO, one owner at a time,
counts of runs or of deaths, prefetch. What one queue machine holds stands in `queue_hand`, with `queue_verdict`,
`queue_settling`, `queue_asking`, `queue_leaving` and `queue_scaling` saying what may become of it; what holds across
machines (order, groups, counts) is in `queue_ledger`.

`stream_world` and `queue_world` put them together: faults for a while, then none, and then the backlog must drain.
`mutants` plants bugs in the core (`stream_mutants`, `queue_mutants`), each of which has to be caught within 100 seeds.

Run many seeds with `python tests/simulation/run.py --seeds 1000`; replay one with `--seed 17`.
"""
