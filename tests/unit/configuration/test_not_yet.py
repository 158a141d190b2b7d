"""What the engine does not do yet is refused with those words, and never ignored; spelling out its default is fine."""

import pytest

EVENT = "Functions.billing.Events.From"
STREAM = ("Source: orders", "StartingPosition: LATEST")
NOT_YET = "is not supported yet"

OF_STREAMS = {
    "MixPartitions": ("true", "false"),
    "ProvisionedPollerConfig": ("{MinimumPollers: 2}", "{}"),
}


@pytest.mark.parametrize("name", OF_STREAMS)
def test_a_stream_mapping_is_refused_what_is_to_come(folder, write, name):
    value, default = OF_STREAMS[name]
    (finding,) = folder.findings(write(*STREAM, f"{name}: {value}"))
    assert finding.startswith(f"penstock.yaml:11: {EVENT}.{name}: {NOT_YET}")
    if default is not None:
        assert len(folder.load(write(*STREAM, f"{name}: {default}")).mappings) == 1


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


def test_an_event_format_to_come_is_refused(folder, write):
    keys = ["Source: orders", "EventFormat: dynamodb", "StartingPosition: LATEST"]
    assert folder.findings(write(*keys, source="{Type: tape, Servers: a, Reel: b}")) == [
        f"penstock.yaml:10: {EVENT}.EventFormat: the event format 'dynamodb' {NOT_YET}; one of kafka, kinesis"
    ]
