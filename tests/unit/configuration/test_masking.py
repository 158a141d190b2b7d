"""Secrets never come out: not in what is shown, not in an error."""

import json

import pytest

from penstock.configuration import mask_function
from penstock.configuration.masking import MASK, mask_urls, url_passwords

EVERYTHING = """
Name: shop
Connections:
  main:
    Type: tape
    Servers: a
    Url: amqp://ada:urlpass1@host:5672/x
    Credentials: {Mechanism: SCRAM, Username: ada, Password: plainpass2}
Sources:
  orders: {Connection: main, Reel: "${file:reel}", Config: {ssl.key.password: mappass4, client.id: me}}
  old: {Type: rope, Password: brokenpass5}
Functions:
  billing:
    CodeUri: code
    Handler: app.handler
    Environment: {Variables: {DB_PASSWORD: envpass6, DB_URL: "postgres://u:envpass7@db/x", MODE: fast}}
"""
SECRETS = ("urlpass1", "plainpass2", "filepass3", "mappass4", "brokenpass5", "envpass6", "envpass7")


def test_the_configuration_as_understood_shows_no_secret(folder):
    folder.write("reel", "filepass3\n")
    shown = json.dumps(dict(folder.load(EVERYTHING).masked))
    assert [secret for secret in SECRETS if secret in shown] == []
    assert "amqp://ada:******@host:5672/x" in shown
    assert '"client.id": "me"' in shown
    assert '"MODE": "fast"' in shown


def test_the_values_themselves_are_not_masked(folder):
    folder.write("reel", "filepass3\n")
    project = folder.load(EVERYTHING)
    assert project.sources["orders"].settings["Credentials"]["Password"] == "plainpass2"
    assert project.sources["orders"].settings["Reel"] == "filepass3"
    assert project.functions["billing"].spec.environment["DB_PASSWORD"] == "envpass6"


def test_every_secret_is_masked_in_what_is_said_later(folder):
    folder.write("reel", "filepass3\n")
    mask = mask_function(folder.load(EVERYTHING).secrets)
    for secret in ("urlpass1", "plainpass2", "filepass3", "mappass4", "envpass6", "envpass7"):
        assert mask(f"login with '{secret}' failed") == f"login with '{MASK}' failed"


def test_an_error_about_a_secret_does_not_say_it(folder):
    folder.write("reel", "filepass3\n")
    findings = folder.findings(
        """
        Sources:
          a: {Type: tape, Servers: x, Reel: y, Speed: "${file:reel}"}
          b: {Type: tape, Servers: x, Reel: y, Credentials: {Mechanism: "${file:reel}"}}
          c: {Type: "${file:reel}"}
          d: {Connection: "amqp://u:hidden99@host/"}
        """
    )
    assert len(findings) == 4
    assert [each for each in findings if "filepass3" in each or "hidden99" in each] == []


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("amqp://u:p@h/v", "amqp://u:******@h/v"),
        ("redis://:p@h", "redis://:******@h"),
        ("redis+sentinel://u:p@h1,u:q@h2", "redis+sentinel://u:******@h2"),
        ("http://host:80/a@b", "http://host:80/a@b"),
        ("http://u@host", "http://u@host"),
        ("see amqp://a:b@c and amqp://d:e@f", "see amqp://a:******@c and amqp://d:******@f"),
    ],
)
def test_passwords_inside_urls_are_masked(text, wanted):
    assert mask_urls(text) == wanted


def test_a_password_of_a_url_is_masked_with_and_without_its_percent_signs():
    assert url_passwords("amqp://u:a%2Fb@h") == {"a%2Fb", "a/b"}


def test_a_short_secret_is_masked_as_a_word_and_does_not_blacken_other_words():
    mask = mask_function({"pw"})
    assert mask("login pw failed, pwd is fine") == "login ****** failed, pwd is fine"


def test_a_long_secret_is_masked_before_a_shorter_one_that_is_part_of_it():
    assert mask_function({"secret", "secret-and-more"})("x secret-and-more y") == "x ****** y"


def test_each_line_of_a_key_is_masked():
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkq\nAAECAwQFBgc=\n-----END KEY-----"
    assert mask_function({key})("bad line MIIEvQIBADANBgkq") == "bad line ******"
