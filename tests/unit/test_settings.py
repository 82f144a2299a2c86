"""Settings: layered, closed, explained."""

import json
import os
import threading
from pathlib import Path

import pytest

from inferstream.errors import SettingsError
from inferstream.settings import Settings, default_group, load, table


def write(folder: Path, text: str) -> Path:
    file = folder / "settings.yaml"
    file.write_text(text)
    return file


def test_defaults_are_complete_and_only_slo_ms_need_be_set() -> None:
    settings = load(environ={})
    assert settings.pipelines["fraud"].slo_ms == 50
    assert load(environ={"INFERSTREAM__PIPELINES__FRAUD__SLO_MS": "20"}).pipelines["fraud"].slo_ms == 20


def test_variables_lie_over_the_file_and_leave_the_rest(tmp_path: Path) -> None:
    file = write(tmp_path, "kafka: {bootstrap_servers: file:1, client_id: file}\nlog: {level: debug}\n")
    settings = load(file, {"INFERSTREAM__KAFKA__BOOTSTRAP_SERVERS": "env:2", "OTHER": "x"})
    assert settings.kafka.bootstrap_servers == "env:2"
    assert settings.kafka.client_id == "file"
    assert settings.log.level == "debug"


def test_mappings_in_a_variable_are_json() -> None:
    environ = {"INFERSTREAM__PIPELINES__FRAUD__OPTIONS": '{"review": 0.3}'}
    assert load(environ=environ).pipelines["fraud"].options == {"review": 0.3}


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"INFERSTREAM__KAFKA__BOOTSTRAP_SERVER": "x"}, "did you mean 'kafka.bootstrap_servers'?"),
        ({"INFERSTREAM__PIPELINES__FRAUD__SLO": "1"}, "did you mean 'pipelines.<name>.slo_ms'?"),
        (
            {"INFERSTREAM__PIPELINES__FRAUD__SLO_CLASSES__GOLD__SLO_MSS": "1"},
            "did you mean 'pipelines.<name>.slo_classes.<name>.slo_ms'?",
        ),
        ({"INFERSTREAM__KAFAK__CLIENT_ID": "x"}, "kafak: unknown setting; did you mean 'kafka'?"),
        ({"INFERSTREAM__OTHER": "x"}, "known here: demo, drain_timeout_ms, kafka, log, pipelines, slo"),
        (
            {"INFERSTREAM__PIPELINES__FRAUD__SLO_CLASSES__DEFAULT": "1"},
            "`default` is the class of slo_ms and on_miss; give another name",
        ),
        (
            {
                "INFERSTREAM__PIPELINES__FRAUD__SLO_CLASSES": '{"a": {"slo_ms": 1, "reserved_share": 0.7}, '
                '"b": {"slo_ms": 2, "reserved_share": 0.4}}'
            },
            "the reserved shares of slo_classes add up to more than 1",
        ),
        ({"INFERSTREAM__PIPELINES__FRAUD__SLO_MS": "soon"}, "pipelines.fraud.slo_ms: Input should be a valid integer"),
        (
            {"INFERSTREAM__PIPELINES__FRAUD__SLO_MS": "-1"},
            "pipelines.fraud.slo_ms: Input should be greater than or equal to 1",
        ),
        ({"INFERSTREAM__PIPELINES__FRAUD__INPUT_TOPIC": "no spaces"}, "pipelines.fraud.input_topic"),
        (
            {"INFERSTREAM__PIPELINES__FRAUD__FALLBACK_MODEL": "fraud:"},
            "pipelines.fraud.fallback_model: write `name` or `name:version`",
        ),
        ({"INFERSTREAM__PIPELINES": "{}"}, "pipelines: name at least one, `pipelines: {fraud: {slo_ms: 50}}`"),
        ({"INFERSTREAM__LOG": "[1, 2]"}, "log: must be a mapping"),
        ({"INFERSTREAM__KAFKA": "x", "INFERSTREAM__KAFKA__CLIENT_ID": "y"}, "contradicts another variable"),
    ],
)
def test_mistakes_are_named_with_their_place(environ: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load(environ=environ)
    assert said in str(refused.value)


def test_a_value_that_may_be_secret_is_never_repeated() -> None:
    with pytest.raises(SettingsError) as refused:
        load(environ={"INFERSTREAM__KAFKA__SASL_PASSWRD": "hunter2"})
    assert "hunter2" not in str(refused.value)
    kafka = {"SECURITY_PROTOCOL": "SASL_SSL", "SASL_USERNAME": "u", "SASL_PASSWORD": "hunter2"}
    settings = load(environ={f"INFERSTREAM__KAFKA__{name}": value for name, value in kafka.items()})
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in json.dumps(settings.model_dump(mode="json"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- a list\n", "holds a list; it must hold a mapping of settings, e.g. `pipelines: {fraud: {slo_ms: 50}}`"),
        ("[]", "holds a list; it must hold a mapping of settings, e.g. "),
        ("[[kafka, {}]]", "holds a list; it must hold a mapping of settings, e.g. "),
        ("hunter2", "holds a single value; it must hold a mapping of settings, e.g. "),
        ("0", "holds a single value; it must hold a mapping of settings, e.g. "),
        ("7: 1", "every name must be a text"),
        ("kafka: [\n", "is not a YAML mapping: line 2, column 1: "),
        ("\x00", "is not a YAML mapping: special characters are not allowed, position 0"),
        ("kafka: !!bool hunter2", "is not a YAML mapping: a value is not what its tag says"),
        ("kafka: !!int hunter2", "is not a YAML mapping: invalid literal for int() with base 10: …"),
        ("kafka: {client_id: a}\nweb: {}\nkafka: {}\n", ", line 3: 'kafka' stands in line 1 already"),
        ('pipelines:\n  fraud:\n    slo_ms: 5\n    "slo_ms": 50\n', ", line 4: 'slo_ms' stands in line 3 already"),
    ],
)
def test_a_file_that_is_no_mapping_is_refused_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load(write(tmp_path, text), {})
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_a_name_that_is_merged_in_may_be_overridden(tmp_path: Path) -> None:
    text = "kafka: &k {client_id: a}\npipelines:\n  a: &a {task: fraud, slo_ms: 5}\n  b: {<<: *a, slo_ms: 50}\n"
    assert load(write(tmp_path, text), {}).pipelines["b"].slo_ms == 50


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "null", "---\n"])
def test_an_empty_file_is_the_defaults(tmp_path: Path, text: str) -> None:
    assert load(write(tmp_path, text), {}) == load(environ={})


def test_a_pipe_is_read_and_only_once(tmp_path: Path) -> None:
    """`local up` loads its settings again, with the stack's addresses."""
    pipe = tmp_path / "settings"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=("kafka: {client_id: me}",))
    writer.start()
    assert [load(pipe, {}).kafka.client_id for _ in range(2)] == ["me", "me"]
    writer.join()


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="does not exist"):
        load(tmp_path / "none.yaml", {})


def test_two_pipelines_may_not_share_a_group(tmp_path: Path) -> None:
    file = write(tmp_path, "pipelines:\n  a: {task: fraud, group: g}\n  b: {task: fraud, group: g}\n")
    with pytest.raises(SettingsError, match="pipelines 'a' and 'b' share the group 'g'"):
        load(file, {})
    assert default_group("a") != default_group("b")


def test_exactly_once_needs_time_for_a_transaction() -> None:
    environ = {"INFERSTREAM__PIPELINES__FRAUD__DELIVERY": "exactly_once"}
    with pytest.raises(SettingsError) as refused:
        load(environ=environ)
    assert str(refused.value).startswith("pipelines.fraud: delivery exactly_once needs an slo_ms of at least 250")
    assert "default (50 ms)" in str(refused.value)
    environ["INFERSTREAM__PIPELINES__FRAUD__SLO_MS"] = "250"
    assert load(environ=environ).pipelines["fraud"].delivery == "exactly_once"
    environ["INFERSTREAM__PIPELINES__FRAUD__SLO_CLASSES"] = '{"gold": 40, "slow": 300}'
    with pytest.raises(SettingsError, match=r"too tight: gold \(40 ms\)$"):
        load(environ=environ)


def test_what_is_kept_for_the_outcome_must_leave_time_for_the_model() -> None:
    environ = {
        "INFERSTREAM__PIPELINES__FRAUD__EMIT_RESERVE_MS": "30",
        "INFERSTREAM__PIPELINES__FRAUD__SLO_CLASSES": '{"gold": 31, "late": {"slo_ms": 5, "on_miss": "score_late"}}',
    }
    assert load(environ=environ).pipelines["fraud"].emit_reserve_ms == 30
    environ["INFERSTREAM__PIPELINES__FRAUD__SLO_CLASSES"] = '{"gold": 30}'
    with pytest.raises(SettingsError, match=r"emit_reserve_ms 30 is the whole time of gold \(30 ms\), so the model"):
        load(environ=environ)
    environ["INFERSTREAM__PIPELINES__FRAUD__EMIT_RESERVE_MS"] = "80"
    with pytest.raises(SettingsError, match=r"of default \(50 ms\), gold \(30 ms\), so"):
        load(environ=environ)


def test_exactly_once_reads_only_what_is_committed() -> None:
    environ = {
        "INFERSTREAM__PIPELINES__FRAUD__DELIVERY": "exactly_once",
        "INFERSTREAM__PIPELINES__FRAUD__SLO_MS": "500",
        "INFERSTREAM__KAFKA__ISOLATION_LEVEL": "read_uncommitted",
    }
    with pytest.raises(SettingsError, match=r"'fraud' needs kafka\.isolation_level read_committed"):
        load(environ=environ)


def test_the_table_names_every_setting_and_its_variable_works() -> None:
    rows = table()
    paths = {row.path for row in rows}
    assert {"kafka.bootstrap_servers", "triton.url", "pipelines.<name>.slo_ms", "drain_timeout_ms"} <= paths
    assert all(row.description for row in rows)
    numbers = [row for row in rows if row.default.isdigit()]
    assert len(numbers) > 10
    for row in numbers:
        load(environ={row.env.replace("<name>", "FRAUD"): row.default})


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().kafka = None  # type: ignore[assignment,misc]


def test_a_class_is_a_mapping_or_a_number_alone() -> None:
    environ = {
        "INFERSTREAM__PIPELINES__FRAUD__SLO_CLASSES": '{"gold": {"slo_ms": 20, "on_miss": "expire"}, "slow": 500}'
    }
    classes = load(environ=environ).pipelines["fraud"].classes
    assert {name: (c.slo_ms, c.on_miss) for name, c in classes.items()} == {
        "default": (50, "fallback"),
        "gold": (20, "expire"),
        "slow": (500, "fallback"),
    }


def test_no_class_is_called_as_an_objective_of_answers_is() -> None:
    environ = {"INFERSTREAM__PIPELINES__GENERATION__SLO_CLASSES": '{"first-answer": 20}'}
    assert "first-answer" in load(environ=environ).pipelines["generation"].classes
    with pytest.raises(SettingsError, match="`first-answer` is what an objective of answers is told as"):
        load(environ={**environ, "INFERSTREAM__PIPELINES__GENERATION__FIRST_ANSWER_MS": "250"})


def test_endpoints_are_separated_by_commas() -> None:
    assert load(environ={"INFERSTREAM__TRITON__URL": "a:1, b:2,"}).triton.urls == ["a:1", "b:2"]


BROKERS, ENDPOINTS = "INFERSTREAM__KAFKA__BOOTSTRAP_SERVERS", "INFERSTREAM__TRITON__URL"


@pytest.mark.parametrize("given", ["", " , ", "http://host:1", "host:99999", "host:0", "host:", "a:1:2", "a:1,b:x"])
@pytest.mark.parametrize(("variable", "path"), [(BROKERS, "kafka.bootstrap_servers"), (ENDPOINTS, "triton.url")])
def test_a_malformed_address_is_one_line(variable: str, path: str, given: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load(environ={variable: given})
    assert str(refused.value).startswith(f"{path}: write host:port[,host:port]")
    assert "\n" not in str(refused.value)


def test_only_a_broker_may_do_without_a_port() -> None:
    settings = load(environ={BROKERS: "a_1, 10.0.0.1:65535,,[::1]:9092", ENDPOINTS: "[::1]:8001"})
    assert settings.kafka.bootstrap_servers == "a_1,10.0.0.1:65535,[::1]:9092"
    assert settings.triton.urls == ["[::1]:8001"]
    with pytest.raises(SettingsError, match=r"triton\.url: write host:port"):
        load(environ={ENDPOINTS: "triton"})


@pytest.mark.parametrize(
    ("topics", "said"),
    [
        ("input_topic: x, output_topic: x", "output_topic is the same as input_topic, 'x'"),
        ("input_topic: x, dead_letter_topic: x", "dead_letter_topic is the same as input_topic, 'x'"),
        ("output_topic: x, dead_letter_topic: x", "dead_letter_topic is the same as output_topic, 'x'"),
    ],
)
def test_a_pipeline_does_not_feed_itself(tmp_path: Path, topics: str, said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load(write(tmp_path, f"pipelines: {{fraud: {{{topics}}}}}"), {})
    assert str(refused.value) == f"pipelines.fraud: {said}; give each a topic of its own"


def test_a_pipeline_may_feed_another(tmp_path: Path) -> None:
    chain = "pipelines: {a: {task: fraud, output_topic: x}, b: {task: fraud, input_topic: x}}"
    assert load(write(tmp_path, chain), {}).pipelines["b"].input_topic == "x"


@pytest.mark.parametrize(
    ("variable", "near"),
    [
        ("INFERSTREAM_KAFKA__BOOTSTRAP_SERVERS", "INFERSTREAM__KAFKA__BOOTSTRAP_SERVERS"),
        ("INFERSTREAM_WEB_PORT", "INFERSTREAM__WEB__PORT"),
        ("INFERSTREAM_PIPELINES_FRAUD_SLO_MS", "INFERSTREAM__PIPELINES__<name>__SLO_MS"),
        ("INFERSTREAM_SETTING", "INFERSTREAM_SETTINGS"),
    ],
)
def test_one_underscore_is_not_ignored(variable: str, near: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load(environ={variable: "8081"})
    assert str(refused.value).startswith(f"{variable} is no setting")
    assert str(refused.value).endswith(f"did you mean {near}?")


def test_variables_that_are_not_for_settings_are_left() -> None:
    """Those of commands and tests, and those Kubernetes gives every pod beside a service `inferstream-web`."""
    links = {
        "INFERSTREAM_WEB_PORT": "tcp://10.0.0.1:8080",
        "INFERSTREAM_WEB_PORT_8080_TCP_PORT": "8080",
        "INFERSTREAM_WEB_SERVICE_HOST": "10.0.0.1",
        "INFERSTREAM_WEB_SERVICE_PORT_HTTP": "8080",
    }
    assert load(environ={"INFERSTREAM_SETTINGS": "x", "INFERSTREAM_SHORT": "1", **links}) == load(environ={})


@pytest.mark.parametrize("text", ["kafka: [1, 2]", "kafka: x"])
def test_a_variable_does_not_hide_what_is_wrong_in_the_file(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError, match="kafka: the settings file must have a mapping here"):
        load(write(tmp_path, text), {"INFERSTREAM__KAFKA__CLIENT_ID": "x"})


def test_a_directory_is_called_one(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="is a directory"):
        load(tmp_path, {})


@pytest.mark.parametrize(("text", "expected"), [("off", "off"), ("'off'", "off"), ("auto", "auto")])
def test_a_bare_off_is_off_though_yaml_takes_it_for_false(tmp_path: Path, text: str, expected: str) -> None:
    assert load(write(tmp_path, f"triton: {{shared_memory: {text}}}"), {}).triton.shared_memory == expected


def test_a_misspelt_name_may_hold_dots(tmp_path: Path) -> None:
    """Found by fuzzing."""
    file = tmp_path / "settings.yaml"
    file.write_text("kafka:\n  bootstrap_servers.: localhost:9092\n")
    with pytest.raises(SettingsError, match=r"unknown setting; did you mean 'kafka\.bootstrap_servers'\?$"):
        load(file, {})
