"""Everything that is wrong is said at once, each with file, line, path, problem and what is allowed."""

# ruff: noqa: E501 - a configuration is quoted whole, in one line

import pytest

EVENT = "Functions.billing.Events.From"
STREAM = ("Source: orders", "StartingPosition: LATEST")
PILE = "{Type: pile}"


def test_every_mistake_of_a_file_is_reported_in_one_go(folder):
    assert folder.findings(
        """
        Nmae: shop
        Sources:
          orders: {Type: tape, Servers: a, Reel: b, Speed: 11}
          jobs: {Type: pail}
        Functions:
          billing:
            CodeUri: code
            Handler: missing.handler
            Timeout: "3"
            Events:
              A: {Source: orders, StartingPosition: NEWEST, BatchSize: 0}
              B: {Source: nowhere}
        Settings: {Listen: somewhere}
        """
    ) == [
        "penstock.yaml:1: Nmae: is not known; did you mean Name?",
        "penstock.yaml:3: Sources.orders.Speed: is 11; a whole number of metres from 1 to 10",
        "penstock.yaml:4: Sources.jobs.Type: the type 'pail' is not known; did you mean pile?",
        (
            "penstock.yaml:8: Functions.billing.Handler: is 'missing.handler', but there is no missing.py in code; "
            "module.function of a file below CodeUri"
        ),
        "penstock.yaml:9: Functions.billing.Timeout: is '3'; a whole number of seconds from 1 to 900",
        (
            "penstock.yaml:11: Functions.billing.Events.A.StartingPosition: is 'NEWEST'; "
            "one of TRIM_HORIZON, LATEST, AT_TIMESTAMP"
        ),
        "penstock.yaml:11: Functions.billing.Events.A.BatchSize: is 0; a whole number from 1 to 10000",
        "penstock.yaml:12: Functions.billing.Events.B.Source: there is no source 'nowhere'; known are orders, jobs",
        "penstock.yaml:13: Settings.Listen: is 'somewhere'; HOST:PORT such as 127.0.0.1:3001, or none",
    ]


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("BatchSize: 0", "BatchSize: is 0; a whole number from 1 to 10000"),
        ("BatchSize: 10001", "BatchSize: is 10001; a whole number from 1 to 10000"),
        ("BatchSize: 1.5", "BatchSize: is 1.5; a whole number from 1 to 10000"),
        ("BatchSize: true", "BatchSize: is true; a whole number from 1 to 10000"),
        ("BatchSize: '10'", "BatchSize: is '10'; a whole number from 1 to 10000"),
        ("BatchSize: many", "BatchSize: is 'many'; a whole number from 1 to 10000"),
        ("BatchSize: [1]", "BatchSize: is a list; a whole number from 1 to 10000"),
        ("BatchSize: {a: 1}", "BatchSize: is an object; a whole number from 1 to 10000"),
        ("BatchSize:", "BatchSize: has no value; a whole number from 1 to 10000"),
        ("Enabled: 1", "Enabled: is 1; true or false"),
        ("Enabled: 'yes'", "Enabled: is 'yes'; true or false"),
        ("MaximumRetryAttempts: -2", "MaximumRetryAttempts: is -2; a whole number from -1 to 10000"),
        ("MaximumRetryAttempts: 10001", "MaximumRetryAttempts: is 10001; a whole number from -1 to 10000"),
        (
            "MaximumBatchingWindowInSeconds: 301",
            "MaximumBatchingWindowInSeconds: is 301; a whole number of seconds from 0 to 300",
        ),
        (
            "MaximumBatchingWindowInMilliseconds: 300001",
            "MaximumBatchingWindowInMilliseconds: is 300001; a whole number of milliseconds from 0 to 300000",
        ),
        (
            "RetryBackoff: {Multiplier: 0.5}",
            "RetryBackoff.Multiplier: is 0.5; a number from 1 to 1000",
        ),
        ("RetryBackoff: {Initial: 1}", "RetryBackoff.Initial: is not known; did you mean InitialMs?"),
        (
            "RetryBackoff: {InitialMs: 100, MaximumMs: 50}",
            "RetryBackoff.MaximumMs: is 50; at least InitialMs, which is 100",
        ),
        ("RetryBackoff: 5", "RetryBackoff: is a single value; an object with InitialMs, MaximumMs, Multiplier"),
        ("Batchsize: 10", "Batchsize: is not known; did you mean BatchSize?"),
        ("ReaderID: me", "ReaderID: is not known; did you mean ReaderId?"),
        (
            "EventFormat: sqs",
            "EventFormat: the event format 'sqs' is not one of this source's; a source of type tape has kafka, kinesis",
        ),
        (
            "StartingPositionTimestamp: 5",
            "StartingPositionTimestamp: is given with StartingPosition LATEST; it belongs to AT_TIMESTAMP",
        ),
        ("ScalingConfig: {MaximumConcurrency: 2}", "ScalingConfig: is for queues; this source is a stream"),
        (
            "EventSourceArn: arn:aws:sqs:a:b:c",
            "EventSourceArn: is not for files: name the source with Source, by its name or ARN",
        ),
    ],
)
def test_a_wrong_key_of_a_stream_mapping_is_named_with_its_line(folder, write, key, message):
    assert folder.findings(write(*STREAM, key)) == [f"penstock.yaml:11: {EVENT}.{message}"]


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("StartingPosition: LATEST", "StartingPosition: is for streams; this source is a queue"),
        ("MaximumRetryAttempts: 3", "MaximumRetryAttempts: is for streams; this source is a queue"),
        (
            "ScalingConfig: {MaximumConcurrency: 0}",
            "ScalingConfig.MaximumConcurrency: is 0; a whole number from 1 to 1000",
        ),
        (
            "ScalingConfig: {MaximumConcurrency: 1001}",
            "ScalingConfig.MaximumConcurrency: is 1001; a whole number from 1 to 1000",
        ),
        ("BatchSize: 10001", "BatchSize: is 10001; a whole number from 1 to 10000"),
        (
            "EventFormat: kinesis",
            "EventFormat: the event format 'kinesis' is not one of this source's; a source of type pile has sqs, rmq",
        ),
    ],
)
def test_a_wrong_key_of_a_queue_mapping_is_named_with_its_line(folder, write, key, message):
    assert folder.findings(write("Source: orders", key, source=PILE)) == [f"penstock.yaml:10: {EVENT}.{message}"]


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("Name: a b\n", "1: Name: is 'a b'; 1 to 64 letters, digits, ., - and _"),
        ("Name: [a]\n", "1: Name: is not a text; 1 to 64 letters, digits, ., - and _"),
        (
            "Functions:\n  'a.b': {CodeUri: code, Handler: app.handler}\n",
            "2: Functions.a.b: the name is 'a.b'; 1 to 64 letters, digits, - and _",
        ),
        (
            (
                "Functions:\n  a:\n    {CodeUri: code, Handler: app.handler, Events: {'x y': {Source: o, StartingPosition: LATEST}}}\n"
                "Sources: {o: {Type: drum}}\n"
            ),
            "3: Functions.a.Events.x y: the name is 'x y'; 1 to 64 letters, digits, - and _",
        ),
        (
            "Sources:\n  'a b': {Type: drum}\n",
            "2: Sources.a b: the name is 'a b'; 1 to 128 letters, digits, ., - and _",
        ),
        ("Sources:\n  a: drum\n", "2: Sources.a: is not an object; Type and the settings of the source"),
        ("Sources:\n  a: {}\n", "2: Sources.a.Type: is missing; a type of source, or a Connection"),
        ("Sources: [a]\n", "1: Sources: is not an object; names, each with its settings"),
        (
            "Sources:\n  a: {Type: kafka}\n",
            (
                "2: Sources.a.Type: the type 'kafka' is not known; "
                'no plugin that is installed brings it: pip install "penstock[kafka]"'
            ),
        ),
        ("Functions:\n  a: 7\n", "2: Functions.a: is not an object; CodeUri, Handler and other settings"),
        ("Globals: {Functions: {Timeout: 3}}\n", "1: Globals.Functions: is not known; did you mean Function?"),
        (
            "Globals:\n  Function:\n    Timeout: 901\n",
            "3: Globals.Function.Timeout: is 901; a whole number of seconds from 1 to 900",
        ),
        (
            "Settings: {MaximumConcurrency: 0}\n",
            "1: Settings.MaximumConcurrency: is 0; a whole number from 1 to 100000",
        ),
        ("Settings: {AccountId: 12}\n", "1: Settings.AccountId: is '12'; twelve digits"),
        ("Settings: {Region: US East}\n", "1: Settings.Region: is 'US East'; letters, digits and - such as us-east-1"),
        (
            "Settings: {Listen: 'localhost:99999'}\n",
            "1: Settings.Listen: is 'localhost:99999'; HOST:PORT such as 127.0.0.1:3001, or none",
        ),
        ("Settings: {LogFormat: xml}\n", "1: Settings.LogFormat: is 'xml'; one of text, json"),
        (
            "Settings: {Workers: 3}\n",
            (
                "1: Settings.Workers: is not known; known are MaximumConcurrency, DataDir, Listen, Region, AccountId, "
                "LogFormat, DrainTimeoutSeconds, BufferMegabytes, Store, AccessKeys"
            ),
        ),
    ],
)
def test_a_wrong_section_is_named_with_its_line(folder, text, finding):
    assert folder.findings(text) == [f"penstock.yaml:{finding}"]


def test_a_mapping_without_a_source_or_a_starting_position_is_refused(folder, write):
    assert folder.findings(write("BatchSize: 1", "StartingPosition: LATEST")) == [
        f"penstock.yaml:8: {EVENT}.Source: is missing; a name of the section Sources has to be given"
    ]
    assert folder.findings(write("Source: orders")) == [
        f"penstock.yaml:8: {EVENT}.StartingPosition: is missing; TRIM_HORIZON, LATEST or AT_TIMESTAMP has to be given"
    ]


def test_both_forms_of_the_batching_window_at_once_are_refused(folder, write):
    text = write(*STREAM, "MaximumBatchingWindowInSeconds: 1", "MaximumBatchingWindowInMilliseconds: 500")
    assert folder.findings(text) == [
        (
            f"penstock.yaml:12: {EVENT}.MaximumBatchingWindowInMilliseconds: is given besides "
            "MaximumBatchingWindowInSeconds; give one of the two"
        )
    ]


def test_a_plugins_own_check_is_reported_at_the_setting_that_it_names(folder):
    findings = folder.findings(
        """
        Sources:
          orders:
            Type: tape
            Servers: a
            Reel: b
            Credentials:
              Username: ada
              Mechanism: PLAIN
        """
    )
    assert findings == [
        "penstock.yaml:8: Sources.orders.Credentials.Mechanism: is PLAIN without a Password; give Password"
    ]


def test_the_file_is_named_as_the_user_named_it(folder, registry, monkeypatch):
    from penstock.configuration import ConfigurationError, load  # noqa: PLC0415

    folder.write("penstock.yaml", "Nmae: x\n")
    monkeypatch.chdir(folder.path.parent)
    with pytest.raises(ConfigurationError) as caught:
        load("shop/penstock.yaml", registry, environ={})
    assert str(caught.value) == "shop/penstock.yaml:1: Nmae: is not known; did you mean Name?"


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda _: None, "there is no such file; name one with --file, or make one with `penstock init`"),
        (lambda path: path.mkdir(), "can not be read: Is a directory"),
        (lambda path: path.write_bytes(b"a: 1\nb: \xff\n"), "bad YAML: the file is not text in UTF-8"),
    ],
)
def test_a_file_that_can_not_be_read_is_one_message(tmp_path, registry, make, problem):
    from penstock.configuration import ConfigurationError, load  # noqa: PLC0415

    path = tmp_path / "penstock.yaml"
    make(path)
    with pytest.raises(ConfigurationError) as caught:
        load(path, registry, environ={})
    assert str(caught.value).startswith(str(path))
    assert str(caught.value).endswith(problem)
    assert len(caught.value.findings) == 1
