"""What one would write in Python: Powertools for the secret, the log line and the metric, and boto3 for the same record under the
same condition as the bridge's."""

import hashlib
import hmac
import json
import os
import time

import boto3
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities import parameters
from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEventV2, event_source
from botocore.exceptions import ClientError

logger = Logger(service="rail")
metrics = Metrics(namespace="bridge", service="rail")
table = boto3.resource("dynamodb").Table(os.environ["TABLE_NAME"])


@logger.inject_lambda_context
@metrics.log_metrics
@event_source(data_class=APIGatewayProxyEventV2)
def handler(event, context):
    now = time.time()
    if not is_signed(event, now):
        logger.warning("refused")
        return answer(401, {"error": "unauthorized"})
    rail = event.json_body
    body = event.body.encode()
    try:
        table.put_item(
            Item={
                "pk": f"rail#{rail['event_id']}",
                "provider": "rail",
                "event_type": rail["event_type"],
                "occurred_at": rail["event_date"],
                "received_at": int(now * 1000),
                "state": "delivered",
                "body": body,
                "body_sha256": hashlib.sha256(body).hexdigest(),
                "expires_at": int(now) + 90 * 24 * 60 * 60,
            },
            ConditionExpression="attribute_not_exists(pk)",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
            raise
        return answer(200, {"status": "duplicate"})
    metrics.add_metric(name="Received", unit=MetricUnit.Count, value=1)
    latency_ms = int((time.time() - now) * 1000)
    logger.info("accepted", event_id=rail["event_id"], event_type=rail["event_type"], latency_ms=latency_ms)
    return answer(200, {"status": "accepted"})


def is_signed(event, now):
    signed_at = event.headers.get("x-rail-timestamp", "")
    if not signed_at.isdigit() or abs(now - int(signed_at)) > 300:
        return False
    secret = parameters.get_secret(os.environ["SIGNING_SECRET_ID"], transform="json", max_age=300)
    key = next(iter(secret["keys"].values()))
    wanted = hmac.new(key.encode(), f"{signed_at}.{event.body}".encode(), hashlib.sha256).hexdigest()
    return hmac.compare_digest(event.headers.get("x-rail-signature", ""), wanted)


def answer(status, body):
    return {"statusCode": status, "headers": {"content-type": "application/json"}, "body": json.dumps(body)}
