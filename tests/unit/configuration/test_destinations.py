"""Addresses of destinations: what each form names, and which are refused before anything is connected to."""

import dataclasses

import pytest

from penstock.api import Setting

EVENT = "Functions.billing.Events.From"
STREAM = ("Source: orders", "StartingPosition: LATEST", "MaximumRetryAttempts: 1")
TAPE = "{Type: tape, Servers: a, Reel: b, Credentials: {Mechanism: SCRAM, Password: s3cret-of-ada}}"
OTHERS = "jobs: {Type: pile}, wheel: {Type: drum}, copy: {Type: tape, Servers: a, Reel: b}"
FORMS = "a source's name or ARN, file:FOLDER, function:NAME, or an address that a plugin knows"
PLACE = f"penstock.yaml:12: {EVENT}.DestinationConfig.OnFailure.Destination"


def text_with(write, address, *, event="OnFailure", source=TAPE, others=OTHERS, payload=""):
    line = f"DestinationConfig: {{{event}: {{Destination: {address}{payload}}}}}"
    return write(*STREAM, line, source=source, others=others)


def destination(folder, text):
    (mapping,) = [each for each in folder.load(text).mappings if each.name == "billing.From"]
    return mapping.on_failure or mapping.on_success


@pytest.mark.parametrize(
    "address",
    [
        "jobs",
        "arn:aws:sqs:us-east-1:000000000000:jobs",
        "arn:aws:kinesis:us-east-1:000000000000:stream/jobs",
        "${env:WHERE}",
    ],
)
def test_a_source_is_named_by_its_name_or_an_arn(folder, write, address):
    folder.environ = {"WHERE": "jobs"}
    found = destination(folder, text_with(write, f"'{address}'"))
    assert (found.kind, found.source.name, found.line) == ("source", "jobs", 12)


def test_a_sources_own_arn_names_it(folder, write):
    others = "jobs: {Type: pile, Arn: 'arn:x:y'}"
    assert destination(folder, text_with(write, "'arn:x:y'", others=others)).source.name == "jobs"


@pytest.mark.parametrize("event", ["OnFailure", "OnSuccess"])
def test_both_events_may_have_one(folder, write, event):
    (mapping,) = folder.load(text_with(write, "jobs", event=event)).mappings
    assert (mapping.on_failure is not None, mapping.on_success is not None) == (
        event == "OnFailure",
        event == "OnSuccess",
    )


def test_the_payload_is_sent_along_unless_the_file_says_not(folder, write):
    assert destination(folder, text_with(write, "jobs")).include_payload
    assert not destination(folder, text_with(write, "jobs", payload=", IncludePayload: false")).include_payload


@pytest.mark.parametrize(
    ("address", "relative"),
    [("file:failed", "failed"), ("file:a/../b/", "b"), ("file:./failed", "failed"), ("'file:a b'", "a b")],
)
def test_a_folder_is_relative_to_the_file(folder, write, monkeypatch, address, relative):
    monkeypatch.chdir("/")
    found = destination(folder, text_with(write, address))
    assert (found.kind, found.path) == ("file", folder.path / relative)


@pytest.mark.parametrize("address", ["file:/var/failed", "file:///var/failed"])
def test_a_folder_may_be_absolute(folder, write, address):
    assert str(destination(folder, text_with(write, address)).path) == "/var/failed"


def test_a_function_is_named_with_its_scheme(folder, write):
    text = text_with(write, "function:mending") + "  mending: {CodeUri: code, Handler: app.handler}\n"
    found = destination(folder, text)
    assert (found.kind, found.function) == ("function", "mending")


def test_an_address_of_a_plugins_scheme_is_taken_as_it_is(folder, write):
    found = destination(folder, text_with(write, "'https://ada:pa55word@web/failed'"))
    assert (found.kind, found.scheme, found.text) == ("scheme", "https", "https://ada:pa55word@web/failed")


def test_a_scheme_whose_plugin_needs_settings_is_refused(folder, write, registry):
    needy = dataclasses.replace(
        registry.destination_types["https"], settings=(Setting("Token", "text", required=True),)
    )
    folder.registry = dataclasses.replace(registry, destination_types={"https": needy})
    assert folder.findings(text_with(write, "https://web")) == [
        f"{PLACE}: 'https://web' needs Token, which is not supported yet; another destination"
    ]


def test_what_is_secret_of_an_address_is_not_shown(folder, write):
    masked = folder.load(text_with(write, "'https://ada:pa55word@web/failed'")).masked
    shown = masked["Functions"]["billing"]["Events"]["From"]["DestinationConfig"]["OnFailure"]["Destination"]
    assert shown == "https://ada:******@web/failed"


def test_an_address_beside_the_mappings_source_is_that_source_but_for_one_setting(folder, write):
    project = folder.load(text_with(write, "tape://failed"))
    (mapping,) = project.mappings
    made = mapping.on_failure.source
    assert (made.name, made.type.name, made.create) == ("tape://failed", "tape", False)
    assert made.settings == {**mapping.source.settings, "Reel": "failed"}
    assert made.settings["Credentials"]["Password"] == "s3cret-of-ada"
    assert made.arn.endswith("/failed")


REFUSED = {
    "'nobody'": ("there is no source 'nobody'", "known are orders, jobs, wheel, copy"),
    "job": ("there is no source 'job'", "did you mean jobs?"),
    "'arn:aws:sqs:us-east-1:000000000000:nobody'": (
        "there is no source 'arn:aws:sqs:us-east-1:000000000000:nobody'",
        "known are orders, jobs, wheel, copy",
    ),
    "''": ("is empty", FORMS),
    "' '": ("is empty", FORMS),
    "wheel": ("nothing can be written to 'wheel', a source of type drum", "what can be written is jobs"),
    "orders": ("'orders' is what the mapping reads", "another one: what is sent there would come back for ever"),
    "'arn:aws:kinesis:us-east-1:000000000000:stream/orders'": (
        "'arn:aws:kinesis:us-east-1:000000000000:stream/orders' is what the mapping reads",
        "another one: what is sent there would come back for ever",
    ),
    "copy": (
        "'copy' is what the mapping reads, where it is called 'orders'",
        "another one: what is sent there would come back for ever",
    ),
    "tape://b": (
        "'tape://b' is what the mapping reads, where it is called 'orders'",
        "another one: what is sent there would come back for ever",
    ),
    "'tape://'": ("'tape://' names no Reel", "tape://REEL"),
    "tape:failed": ("'tape:failed' names no Reel", "tape://REEL"),
    "'tape://a b'": ("Reel is 'a b'", "a reel has no spaces in its name"),
    "'file:'": ("'file:' names no folder", "file:FOLDER, relative to this file's folder"),
    "'file:///'": ("'file:///' names no folder", "file:FOLDER, relative to this file's folder"),
    "file://host/failed": ("'file://host/failed' names a host", "file:FOLDER or file:///FOLDER"),
    "function:billin": ("'function:billin' names no function that there is", "did you mean billing?"),
    "function:billing": (
        "'function:billing' is the mapping's own function",
        "another one: it would be given what it fails at again and again",
    ),
    "htps://web": (
        "'htps://web' is not known",
        "a source's name or ARN, file:FOLDER, function:NAME, tape://REEL, https:",
    ),
}


@pytest.mark.parametrize("address", REFUSED)
def test_an_address_that_can_not_be_is_refused_at_its_line(folder, write, address):
    problem, allowed = REFUSED[address]
    assert folder.findings(text_with(write, address)) == [f"{PLACE}: {problem}; {allowed}"]


def test_on_success_is_refused_as_on_failure_is(folder, write):
    (finding,) = folder.findings(text_with(write, "orders", event="OnSuccess"))
    assert finding.startswith(PLACE.replace("OnFailure", "OnSuccess") + ": 'orders' is what the mapping reads")


def test_an_arn_that_fits_two_sources_is_refused(folder, write):
    others = "jobs: {Type: pile, Arn: 'arn:x'}, more: {Type: pile, Arn: 'arn:x'}"
    assert folder.findings(text_with(write, "'arn:x'", others=others)) == [
        f"{PLACE}: 'arn:x' names jobs and more; name one of them"
    ]


def test_an_address_of_another_type_of_source_is_refused(folder, write):
    assert folder.findings(text_with(write, "tape://failed", source="{Type: drum}")) == [
        (
            f"{PLACE}: 'tape://failed' belongs beside a source of type tape, and 'orders' is of type drum; "
            "name a source of this file"
        )
    ]


def test_a_fifo_queue_is_refused(folder, write):
    assert folder.findings(text_with(write, "jobs", others="jobs: {Type: shelf, FifoQueue: true}")) == [
        f"{PLACE}: 'jobs' is a FIFO queue; a standard one: what is given up is in no message group"
    ]


def test_a_wrong_source_is_said_once(folder, write):
    (finding,) = folder.findings(text_with(write, "jobs", others="jobs: {Type: pail}"))
    assert finding.startswith("penstock.yaml:2: Sources.jobs.Type")


def test_an_unknown_key_of_a_destination_is_named(folder, write):
    assert folder.findings(text_with(write, "jobs", payload=", IncludePayloads: true")) == [
        (
            f"penstock.yaml:12: {EVENT}.DestinationConfig.OnFailure.IncludePayloads: is not known; "
            "did you mean IncludePayload?"
        )
    ]


def test_a_queue_mapping_has_no_destination(folder, write):
    text = write("Source: orders", "DestinationConfig: {OnFailure: {Destination: jobs}}", source="{Type: pile}")
    assert folder.findings(text) == [
        f"penstock.yaml:10: {EVENT}.DestinationConfig: is for streams; this source is a queue"
    ]


# A plugin that can not be loaded is the installation's fault and not the file's.


@pytest.mark.parametrize("address", ["rope://failed", "rope-queue://failed"])
def test_a_scheme_of_a_broken_plugin_is_a_problem_and_the_rest_can_run(folder, write, address):
    project = folder.load(text_with(write, address))
    (problem,) = project.problems
    assert str(problem).replace(f"{folder.path}/", "").startswith(f"{PLACE}: the plugin 'rope' can not be loaded")
    (mapping,) = project.mappings
    with pytest.raises(Exception, match="the plugin 'rope' can not be loaded"):
        mapping.on_failure.source.type.open_destination(None)


def test_a_source_of_a_broken_plugin_may_be_named(folder, write):
    project = folder.load(text_with(write, "line", others="line: {Type: rope}"))
    assert project.mappings[0].on_failure.source.name == "line"
    assert len(project.problems) == 1


def test_an_address_beside_a_source_of_a_broken_plugin_is_not_the_files_mistake(folder, write):
    project = folder.load(text_with(write, "rope://failed", source="{Type: rope}"))
    assert project.mappings[0].on_failure.source.name == "rope://failed"
    assert len(project.problems) == 1
