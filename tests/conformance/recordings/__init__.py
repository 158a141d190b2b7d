"""Drives what AWS was recorded to do with streams and queues through real nodes, and holds what came to the recordings.

A case of a stream goes one way through these modules:

- `case`: what a file of the recordings holds;
- `scope`: which parts of what it expects are compared, and which are left and why; nothing else decides that;
- `inputs` and `behaviour`: what is put on the stream, and what the function does with it;
- `mapping`: `setup.create` as a mapping of a `penstock.yaml`, with embedded stand-ins for SQS, SNS and S3;
- `streams`: the streams it runs on, embedded or Kafka's;
- `run`: one node runs all cases at once, each on a stream of its own;
- `outcome`: what came: invocations, documents, the mapping's last result;
- `comparison` and `placeholders`: holds that to the recording; a placeholder is one value within one case.

A case of a queue goes the same way through those whose names begin with `queue`; they share `case`, `project`, `stages`
and `placeholders` with the others. Another kind of queue is a class beside those of `queues`.

`traces` has the first conformance traces of the specification (T1 to T8) in the shape of recordings, `queue_traces`
T9 to T12.

Where a recording is not understood, `NotUnderstood` says what, and its test fails: nothing is passed over in silence.
"""
