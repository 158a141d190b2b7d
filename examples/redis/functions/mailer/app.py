"""Sends mails. Written for SQS: what failed is reported, and all else of the batch is done."""

import json


def handler(event, context):
    failed = []
    for message in event["Records"]:
        mail = json.loads(message["body"])
        receives = int(message["attributes"]["ApproximateReceiveCount"])
        if mail.get("refused") and receives == 1:
            print(f"mail {mail['number']} was refused")
            failed.append({"itemIdentifier": message["messageId"]})
        else:
            print(f"mail {mail['number']} sent at receive {receives}")
    return {"batchItemFailures": failed}
