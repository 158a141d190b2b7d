"""Reads electricity meters. Written for Kinesis: the partition key is the meter, the data its reading."""

import base64


def handler(event, context):
    for record in event["Records"]:
        meter = record["kinesis"]["partitionKey"]
        reading = int(base64.b64decode(record["kinesis"]["data"]))
        print(f"{meter} at {reading}")
