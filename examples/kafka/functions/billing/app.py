"""Adds up what each customer owes. The event is the one that Lambda gives for a self-managed Kafka."""

import base64
import json
from collections import Counter


def handler(event, context):
    owed = Counter()
    for records in event["records"].values():  # a list for each partition, here always one
        for record in records:
            order = json.loads(base64.b64decode(record["value"]))
            owed[order["customer"]] += order["cents"]
    for customer, cents in sorted(owed.items()):
        print(f"{customer} owes {cents / 100:.2f}")
