"""Variables and files in the texts of a configuration."""

import pytest

from penstock.configuration.interpolation import InterpolationError, interpolate


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("plain", "plain"),
        ("${env:HOST}", "k1"),
        ("${env:HOST}:${env:PORT}", "k1:9092"),
        ("${env:NONE:-fallback}", "fallback"),
        ("${env:EMPTY:-fallback}", "fallback"),
        ("${env:NONE:-}", ""),
        ("${env:EMPTY}", ""),
        ("${env:NONE:-a:-b}", "a:-b"),
        ("$${env:HOST}", "${env:HOST}"),
        ("$5 and $${", "$5 and ${"),
        ("${env:NESTED}", "${env:HOST}"),
        ("<${file:secret}>", "<s3cret\n>"),
    ],
)
def test_a_text_has_its_placeholders_filled_in(tmp_path, text, wanted):
    (tmp_path / "secret").write_text("s3cret\n\n")
    environ = {"HOST": "k1", "PORT": "9092", "EMPTY": "", "NESTED": "${env:HOST}"}
    assert interpolate(text, environ=environ, folder=tmp_path).text == wanted


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("${env:NONE}", "the variable NONE is not set"),
        ("${NONE}", "${NONE} is not known"),
        ("${env:}", "does not name a variable"),
        ("${env:A-B}", "does not name a variable"),
        ("${file:}", "is not known"),
        ("${env:HOST", "without its }"),
        ("${file:nowhere}", "can not be read: No such file"),
        ("${file:binary}", "is not text in UTF-8"),
        ("${vault:x}", "is not known"),
    ],
)
def test_a_placeholder_that_stands_for_nothing_is_refused(tmp_path, text, problem):
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(InterpolationError) as caught:
        interpolate(text, environ={}, folder=tmp_path)
    assert problem in caught.value.problem


@pytest.mark.parametrize(("content", "wanted"), [("a\n", "a"), ("a\r\n", "a"), ("a", "a"), ("a\n\n", "a\n"), ("", "")])
def test_one_trailing_newline_of_a_file_is_dropped(tmp_path, content, wanted):
    (tmp_path / "f").write_text(content, newline="")
    assert interpolate("${file:f}", environ={}, folder=tmp_path).text == wanted


def test_what_comes_from_a_file_is_secret_and_what_comes_from_a_variable_is_not(tmp_path):
    (tmp_path / "f").write_text("hunter22")
    made = interpolate("${env:USER_NAME}:${file:f}", environ={"USER_NAME": "ada"}, folder=tmp_path)
    assert made.secrets == {"hunter22"}
    assert made.shown == "ada:******"


def test_a_number_can_come_from_a_variable(folder, write):
    folder.environ = {"SIZE": "250", "ON": "False"}
    project = folder.load(
        write("Source: orders", "StartingPosition: LATEST", "BatchSize: ${env:SIZE}", 'Enabled: "${env:ON}"')
    )
    assert project.mappings[0].stream.batch_size == 250
    assert project.mappings[0].enabled is False


def test_a_variable_that_is_no_number_is_refused_where_one_is_wanted(folder, write):
    folder.environ = {"SIZE": "many"}
    assert folder.findings(write("Source: orders", "StartingPosition: LATEST", "BatchSize: ${env:SIZE}")) == [
        "penstock.yaml:11: Functions.billing.Events.From.BatchSize: is many; a whole number from 1 to 10000"
    ]


def test_a_missing_variable_is_named_with_line_and_path(folder, write):
    assert folder.findings(write("Source: orders", "StartingPosition: ${env:WHERE}")) == [
        (
            "penstock.yaml:10: Functions.billing.Events.From.StartingPosition: the variable WHERE is not set; "
            "set it, or write ${env:WHERE:-default}"
        )
    ]


def test_files_are_looked_for_beside_the_configuration(folder, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    folder.write("secrets/reel", "orders\n")
    project = folder.load("Sources:\n  a: {Type: tape, Servers: x, Reel: '${file:secrets/reel}'}\n")
    assert project.sources["a"].settings["Reel"] == "orders"


def test_nothing_is_filled_in_where_nothing_is_used(folder):
    assert folder.load("x-notes: ${env:NOT_SET}\n").name == "shop"
