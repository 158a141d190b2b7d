"""`FilterCriteria` in a file: read, compiled, and refused with the place in the pattern."""

import pytest

EVENT = "Functions.billing.Events.From"
STREAM = ("Source: orders", "StartingPosition: LATEST", "MaximumRetryAttempts: 1")
PILE = "{Type: pile}"


@pytest.mark.parametrize(
    "pattern", ['\'{"value": {"total": [{"numeric": [">", 100]}]}}\'', "{value: {total: [{numeric: ['>', 100]}]}}"]
)
def test_a_pattern_is_json_text_or_a_yaml_mapping(folder, write, pattern):
    text = write(*STREAM, "EventFormat: kafka", f"FilterCriteria: {{Filters: [{{Pattern: {pattern}}}]}}")
    (mapping,) = folder.load(text).mappings
    assert mapping.filter_criteria is not None
    assert len(mapping.filter_criteria.formulas) == 1


@pytest.mark.parametrize("criteria", ["{}", "{Filters: []}", "{Filters: }"])
def test_no_filters_keep_everything(folder, write, criteria):
    (mapping,) = folder.load(write(*STREAM, f"FilterCriteria: {criteria}")).mappings
    assert mapping.filter_criteria is None


@pytest.mark.parametrize(
    ("criteria", "finding"),
    [
        ("[]", None),
        ("[1]", "FilterCriteria: is [1]; an object `{Filters: [{Pattern: …}]}`"),
        ("{Filter: []}", "FilterCriteria.Filter: is not known; did you mean Filters?"),
        ("{Filters: {}}", None),
        ("{Filters: 3}", "FilterCriteria.Filters: is not a list; a list of `{Pattern: …}`"),
        (
            "{Filters: [{Patern: '{}'}]}",
            "FilterCriteria.Filters.0: is not an object with one key, Pattern; `{Pattern: …}`",
        ),
        ("{Filters: [{Pattern: 3}]}", "FilterCriteria.Filters.0.Pattern: is no pattern; JSON text, or a YAML mapping"),
    ],
)
def test_what_is_no_list_of_patterns_is_refused(folder, write, criteria, finding):
    text = write(*STREAM, "EventFormat: kafka", f"FilterCriteria: {criteria}")
    if finding is None:
        assert folder.load(text).mappings[0].filter_criteria is None
    else:
        assert folder.findings(text) == [f"penstock.yaml:13: {EVENT}.{finding}"]


def test_a_wrong_pattern_names_the_filter_the_place_in_it_what_is_there_and_what_may(folder, write):
    text = write(
        *STREAM,
        "EventFormat: kafka",
        "FilterCriteria:",
        "  Filters:",
        "    - Pattern: {value: {total: [1]}}",
        "    - Pattern: {value: {total: [{EXISTS: true}]}}",
    )
    (finding,) = folder.findings(text)
    assert finding.startswith(f"penstock.yaml:16: {EVENT}.FilterCriteria.Filters.1.Pattern: value.total[0]")
    assert "Unrecognized match type EXISTS" in finding


def test_a_pattern_on_text_is_refused_for_kinesis_as_on_aws(folder, write):
    text = write(*STREAM, "EventFormat: kinesis", "FilterCriteria: {Filters: [{Pattern: {data: [plain]}}]}")
    (finding,) = folder.findings(text)
    assert '"data" must be an object' in finding


@pytest.mark.parametrize(("chosen", "wanted"), [((), "delete"), (("OnFiltered: keep",), "keep")])
def test_a_queue_says_what_becomes_of_what_does_not_match(folder, write, chosen, wanted):
    (mapping,) = folder.load(write("Source: orders", *chosen, source=PILE)).mappings
    assert mapping.queue.on_filtered == wanted


def test_dead_letters_of_filtered_messages_need_somewhere_to_go(folder, write):
    (finding,) = folder.findings(write("Source: orders", "OnFiltered: dead-letter", source=PILE))
    assert finding == (
        f"penstock.yaml:10: {EVENT}.OnFiltered: is dead-letter, and 'orders' has nowhere to send dead letters; "
        "give the source a RedrivePolicy, or delete or keep"
    )
