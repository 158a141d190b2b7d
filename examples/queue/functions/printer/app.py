"""Prints invoices. Written for SQS: the event has the body of each message, and how often it was received."""

import json


def handler(event, context):
    for message in event["Records"]:
        invoice = json.loads(message["body"])
        receives = int(message["attributes"]["ApproximateReceiveCount"])
        if invoice.get("jams") and receives == 1:
            raise RuntimeError(f"invoice {invoice['number']} has jammed the printer")
        print(f"printed invoice {invoice['number']} at receive {receives}")
