"""Drives what AWS was recorded to do with streams through real nodes, and holds what came to what was recorded.

A case goes one way through these modules:

- `case`: what a file of the recordings holds;
- `scope`: which parts of what it expects are compared, and which are left and why; nothing else decides that;
- `inputs` and `behaviour`: what is put on the stream, and what the function does with it;
- `mapping`: `setup.create` as a mapping of a `penstock.yaml`, with embedded stand-ins for SQS, SNS and S3;
- `streams`: the streams it runs on, embedded or Kafka's;
- `run`: one node runs all cases at once, each on a stream of its own;
- `outcome`: what came: invocations, documents, the mapping's last result;
- `comparison` and `placeholders`: holds that to the recording; a placeholder is one value within one case.

`traces` has the first conformance traces of the specification (T1 to T8) in the shape of recordings.

Where a recording is not understood, `NotUnderstood` says what, and its test fails: nothing is passed over in silence.
"""
