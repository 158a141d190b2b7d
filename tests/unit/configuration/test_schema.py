"""The JSON Schema: made of the same tables, so that an editor knows what the validator knows."""

import json
import re
from textwrap import dedent

import pytest
import yaml

from penstock.configuration import schema
from penstock.configuration.vocabulary import FUNCTION, NODE_SETTINGS, QUEUE_MAPPING, STREAM_MAPPING

TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "null": type(None),
}


def is_valid(rule, value) -> bool:
    """A small part of JSON Schema: what our schema uses, and an assertion for what it should not."""
    if rule is True:
        return True
    known = {"type", "properties", "patternProperties", "additionalProperties", "propertyNames", "required", "anyOf"}
    known |= {"enum", "const", "pattern", "minimum", "maximum", "items", "description", "default", "title", "$schema"}
    assert set(rule) <= known
    return (
        _is_of_type(rule.get("type"), value)
        and ("enum" not in rule or value in rule["enum"])
        and ("const" not in rule or value == rule["const"])
        and ("anyOf" not in rule or any(is_valid(each, value) for each in rule["anyOf"]))
        and (not isinstance(value, str) or re.search(rule.get("pattern", ""), value) is not None)
        and (not isinstance(value, int | float) or rule.get("minimum", value) <= value <= rule.get("maximum", value))
        and (not isinstance(value, list) or all(is_valid(rule.get("items", True), each) for each in value))
        and (not isinstance(value, dict) or _is_valid_object(rule, value))
    )


def _is_of_type(wanted, value) -> bool:
    if wanted is None:
        return True
    for each in [wanted] if isinstance(wanted, str) else wanted:
        if each in {"integer", "number"}:
            allowed = int if each == "integer" else (int, float)
            if isinstance(value, allowed) and not isinstance(value, bool):
                return True
        elif isinstance(value, TYPES[each]):
            return True
    return False


def _is_valid_object(rule, value) -> bool:
    if any(name not in value for name in rule.get("required", [])):
        return False
    for name, each in value.items():
        if "propertyNames" in rule and not is_valid(rule["propertyNames"], name):
            return False
        found = rule.get("properties", {}).get(name)
        if found is None:
            patterns = rule.get("patternProperties", {})
            found = next((made for pattern, made in patterns.items() if re.search(pattern, name)), None)
        if found is None:
            found = rule.get("additionalProperties", True)
        if found is False or not is_valid(found, each):
            return False
    return True


GOOD = """
x-note: anything
Name: shop
Connections:
  main: {Type: tape, Servers: [a, b], Credentials: {Mechanism: PLAIN, Password: "${file:secret}"}}
Sources:
  orders: {Connection: main, Reel: orders}
  jobs: {Type: pile, VisibilityTimeout: "${env:VISIBLE}", FifoQueue: false}
Globals: {Function: {Timeout: 5}}
Functions:
  billing:
    CodeUri: code
    Handler: app.handler
    Layers: []
    Environment: {Variables: {A: 1, B: true, C: x}}
    Events:
      A: {Source: orders, StartingPosition: LATEST, ParallelizationFactor: 1, ReaderId: me}
      C:
        Source: orders
        StartingPosition: LATEST
        MaximumRecordAgeInSeconds: 60
        FunctionResponseTypes: [ReportBatchItemFailures]
        DestinationConfig: {OnFailure: {Destination: jobs, IncludePayload: false}}
        OnDestinationRefusal: drop
        MaximumDeliveryAttempts: 3
      B: {Source: jobs, BatchSize: 5, ScalingConfig: {MaximumConcurrency: 3}}
Settings: {MaximumConcurrency: 4, Listen: none}
"""


def test_a_good_configuration_is_valid(folder, registry):
    folder.environ = {"VISIBLE": "5"}
    folder.write("secret", "x")
    folder.load(GOOD)
    assert is_valid(schema(registry), yaml.safe_load(GOOD))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Name: shop", "Nmae: shop"),
        ("Reel: orders", "Reel: orders, Reels: 3"),
        ("Type: pile", "Type: pail"),
        ("BatchSize: 5", "BatchSize: 0"),
        ("BatchSize: 5", "BatchSize: many"),
        ("StartingPosition: LATEST", "StartingPosition: NEWEST"),
        ("ParallelizationFactor: 1", "ParallelizationFactor: 11"),
        ("ParallelizationFactor: 1", "MaximumRecordAgeInSeconds: 59"),
        ("ParallelizationFactor: 1", "FunctionResponseTypes: [ReportBatchItemFailure]"),
        ("ParallelizationFactor: 1", "TumblingWindowInSeconds: 901"),
        ("ParallelizationFactor: 1", "MixPartitions: true"),
        ("ParallelizationFactor: 1", "DestinationConfig: {OnFailed: {Destination: jobs}}"),
        ("Destination: jobs", "Destination: [jobs]"),
        ("MaximumDeliveryAttempts: 3", "MaximumDeliveryAttempts: 0"),
        ("OnDestinationRefusal: drop", "OnDestinationRefusal: wait"),
        ("FifoQueue: false", "FifoQueue: true"),
        ("MaximumConcurrency: 3", "MaximumConcurrency: 1001"),
        ("Mechanism: PLAIN", "Mechanism: GSSAPI"),
        ("Timeout: 5", "Timeout: 901"),
        ("billing:", "'bill ing':"),
        ("Listen: none", "Listen: [none]"),
        ("Source: jobs, ", ""),
        ("Variables: {A: 1", "Variables: {A: [1]"),
    ],
)
def test_what_the_validator_refuses_the_schema_refuses(folder, registry, old, new):
    folder.environ = {"VISIBLE": "5"}
    folder.write("secret", "x")
    text = dedent(GOOD).replace(old, new)
    assert text != dedent(GOOD)
    assert folder.findings(text)
    assert not is_valid(schema(registry), yaml.safe_load(text))


def test_the_schema_is_json_and_says_which_dialect_it_is(registry):
    made = json.loads(json.dumps(schema(registry)))
    assert made["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_plugins_add_their_types_and_keys(registry):
    made = json.dumps(schema(registry))
    for part in ('"const": "tape"', '"const": "pile"', '"ReaderId"', '"Reel"'):
        assert part in made


def test_every_word_of_the_vocabulary_is_explained():
    for table in (NODE_SETTINGS, FUNCTION, STREAM_MAPPING, QUEUE_MAPPING):
        assert [setting.name for setting in table if not (setting.doc or setting.refusal)] == []
