"""Whole machines under seeded faults, on a clock of whole numbers.

A seed draws a scenario (settings, a source, a function, faults) and then every chance in it, so the same seed gives the
same trace, byte for byte. Around the real machines of the core stands a world of models:

- `clock`: a heap of what happens when; time passes only when it is empty before;
- `stream_source`, `queue_source`: durable logs, checkpoints and leases, which survive every crash;
- `function`: the executor, with poison records, timeouts, throttles and answers that get lost;
- `stream_node`, `queue_node`: what the shell does: carries out commands and brings facts;
- `stream_checks`, `queue_checks`: the promises, looked at after every step.

`stream_world` and `queue_world` put them together: faults for a while, then none, and then the backlog must drain.
`mutants` plants bugs in the core, each of which has to be caught.

Run many seeds with `python tests/simulation/run.py --seeds 1000`; replay one with `--seed 17`.
"""
