"""What the engine does not do yet is refused with those words, and never ignored; spelling out its default is fine."""

import pytest

EVENT = "Functions.billing.Events.From"
STREAM = ("Source: orders", "StartingPosition: LATEST")
PILE = "{Type: pile}"
NOT_YET = "is not supported yet"

OF_STREAMS = {
    "BisectBatchOnFunctionError": ("true", "false"),
    "ParallelizationFactor": ("2", "1"),
    "MaximumRecordAgeInSeconds": ("60", "-1"),
    "FunctionResponseTypes": ("[ReportBatchItemFailures]", "[]"),
    "DestinationConfig": ("{OnFailure: {Destination: dead}}", "{}"),
    "TumblingWindowInSeconds": ("30", "0"),
    "MixPartitions": ("true", "false"),
    "ProvisionedPollerConfig": ("{MinimumPollers: 2}", "{}"),
    "OnDestinationRefusal": ("drop", None),
}
OF_QUEUES = {
    "FunctionResponseTypes": ("[ReportBatchItemFailures]", "[]"),
    "GroupFailureMode": ("aws", None),
}


@pytest.mark.parametrize("name", OF_STREAMS)
def test_a_stream_mapping_is_refused_what_is_to_come(folder, write, name):
    value, default = OF_STREAMS[name]
    (finding,) = folder.findings(write(*STREAM, f"{name}: {value}"))
    assert finding.startswith(f"penstock.yaml:11: {EVENT}.{name}: {NOT_YET}")
    if default is not None:
        assert len(folder.load(write(*STREAM, f"{name}: {default}")).mappings) == 1


@pytest.mark.parametrize("name", OF_QUEUES)
def test_a_queue_mapping_is_refused_what_is_to_come(folder, write, name):
    value, default = OF_QUEUES[name]
    (finding,) = folder.findings(write("Source: orders", f"{name}: {value}", source=PILE))
    assert finding.startswith(f"penstock.yaml:10: {EVENT}.{name}: {NOT_YET}")
    if default is not None:
        assert len(folder.load(write("Source: orders", f"{name}: {default}", source=PILE)).mappings) == 1


def test_a_scaling_policy_is_refused_and_its_default_is_not(folder, write):
    (finding,) = folder.findings(write("Source: orders", "ScalingConfig: {Policy: lambda}", source=PILE))
    assert finding == f"penstock.yaml:10: {EVENT}.ScalingConfig.Policy: {NOT_YET}; leave it out or write eager"
    assert folder.load(write("Source: orders", "ScalingConfig: {Policy: eager}", source=PILE)).mappings


@pytest.mark.parametrize(
    ("setting", "path"),
    [
        ("RedrivePolicy: {maxReceiveCount: 5, deadLetterTargetArn: dead}", "RedrivePolicy"),
        ("FifoQueue: true", "FifoQueue"),
    ],
)
def test_a_queue_is_refused_what_is_to_come(folder, setting, path):
    (finding,) = folder.findings(f"Sources:\n  jobs:\n    Type: pile\n    {setting}\n")
    assert finding.startswith(f"penstock.yaml:4: Sources.jobs.{path}: {NOT_YET}")


def test_a_standard_queue_may_say_that_it_is_one(folder):
    assert folder.load("Sources: {jobs: {Type: pile, FifoQueue: false}}\n").sources["jobs"].name == "jobs"


@pytest.mark.parametrize(
    ("setting", "finding"),
    [
        ("EventInvokeConfig: {MaximumRetryAttempts: 1}", f"EventInvokeConfig: {NOT_YET}"),
        ("DeadLetterConfig: {TargetArn: dead}", f"DeadLetterConfig: {NOT_YET}"),
        ("Runtime: nodejs22.x", f"Runtime: the runtime 'nodejs22.x' {NOT_YET}; python, or python3.12 and so on"),
        (
            "Runtime: provided.al2023",
            f"Runtime: the runtime 'provided.al2023' {NOT_YET}; python, or python3.12 and so on",
        ),
        ("Runtime: cobol", "Runtime: the runtime 'cobol' is not known; python, or python3.12 and so on"),
    ],
)
def test_a_function_is_refused_what_is_to_come(folder, setting, finding):
    text = f"Functions:\n  billing:\n    CodeUri: code\n    Handler: app.handler\n    {setting}\n"
    assert folder.findings(text) == [f"penstock.yaml:5: Functions.billing.{finding}"]


def test_a_zip_file_is_refused(folder):
    folder.write("code.zip", "PK")
    assert folder.findings("Functions:\n  billing: {CodeUri: code.zip, Handler: app.handler}\n") == [
        f"penstock.yaml:2: Functions.billing.CodeUri: a zip file {NOT_YET}; a folder"
    ]


@pytest.mark.parametrize("setting", ["Store: postgresql://db/x", "AccessKeys: [{Id: a}]"])
def test_a_node_is_refused_what_is_to_come(folder, setting):
    name = setting.partition(":")[0]
    assert folder.findings(f"Settings:\n  {setting}\n") == [f"penstock.yaml:2: Settings.{name}: {NOT_YET}"]


@pytest.mark.parametrize(
    ("source", "event_format", "offered"),
    [("{Type: tape, Servers: a, Reel: b}", "dynamodb", "kafka, kinesis"), (PILE, "rmq", "sqs")],
)
def test_an_event_format_to_come_is_refused(folder, write, source, event_format, offered):
    keys = ["Source: orders", f"EventFormat: {event_format}"] + (
        ["StartingPosition: LATEST"] if "tape" in source else []
    )
    assert folder.findings(write(*keys, source=source)) == [
        f"penstock.yaml:10: {EVENT}.EventFormat: the event format '{event_format}' {NOT_YET}; one of {offered}"
    ]
