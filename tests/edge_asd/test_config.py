"""The operator's file: what is wrong is named with its path, its value and what would be right."""

from pathlib import Path

import pytest

from edge_asd.config import Config, engine_request, load_config, parse_config
from edge_asd.engine_request import EngineRequest
from edge_asd.errors import ConfigError

EXAMPLE = Path(__file__).parents[2] / "deploy" / "config.example.yaml"


def refusal(tmp_path, text):
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


def one_monitor(line):
    return f"monitors:\n  - name: pump\n    {line}\n"


def test_the_example_that_is_shipped_loads():
    config = load_config(EXAMPLE)
    assert config.device == "press-hall-3"
    assert [monitor.name for monitor in config.monitors] == ["pump-1"]
    assert config.mqtt.password_file == "credential:mqtt-password"


def test_the_defaults_that_the_example_states_are_the_defaults():
    shown, default = load_config(EXAMPLE).monitors[0], Config().monitors[0]
    assert shown.alert == default.alert
    assert (shown.channel, shown.enrol_s, shown.settle_s) == (
        default.channel,
        default.enrol_s,
        default.settle_s,
    )
    assert load_config(EXAMPLE).http == Config().http


@pytest.mark.parametrize("text", ["", "# nothing but a comment\n", "---\n"])
def test_an_empty_file_listens_to_the_default_microphone(tmp_path, text):
    (tmp_path / "c.yaml").write_text(text)
    (monitor,) = load_config(tmp_path / "c.yaml").monitors
    assert (monitor.name, monitor.source) == ("machine", "alsa:")


@pytest.mark.parametrize(
    ("text", "where", "says"),
    [
        ("devise: x\n", "devise", "unknown key"),
        (one_monitor("sample_rate: 16000"), "monitors[0].sample_rate", "unknown key"),
        (one_monitor("alert: {above: 3}"), "monitors[0].alert.above", "unknown key"),
        ("1: x\n", "[1]", ""),
        ("engine: torch\n", "engine.name", "tensorrt"),
        ("engine: {precision: fp8}\n", "engine.precision", "bf16"),
        ("engine: {threads: 0}\n", "engine.threads", "greater than or equal to 1"),
        ("engine: {name: onnxruntime, precision: bf16}\n", "engine", "fp32 or fp16, not in bf16"),
        ("engine: {name: openvino, precision: fp16}\n", "engine", "fp32 or bf16, not in fp16"),
        (one_monitor("alert: {above_s: 14s}"), "monitors[0].alert.above_s", "number"),
        (one_monitor("alert: {above_s: 0}"), "monitors[0].alert.above_s", "greater than 0"),
        (one_monitor("alert: {above_s: .nan}"), "monitors[0].alert.above_s", "finite"),
        (one_monitor("alert: {within_s: .inf}"), "monitors[0].alert.within_s", "finite"),
        (one_monitor("alert: {above_s: 30}"), "monitors[0].alert", "at least as long"),
        (one_monitor("alert: {cooldown_s: -1}"), "monitors[0].alert.cooldown_s", "equal to 0"),
        (
            one_monitor("alert: {false_alarms_per_week: 0}"),
            "monitors[0].alert.false_alarms_per_week",
            "greater than 0",
        ),
        (one_monitor("enrol_s: 30"), "monitors[0].enrol_s", "60"),
        (one_monitor("settle_s: -1"), "monitors[0].settle_s", "0"),
        (one_monitor("channel: -1"), "monitors[0].channel", "0"),
        (one_monitor("channel: left"), "monitors[0].channel", "integer"),
        (one_monitor("source: microphone"), "monitors[0].source", "microphone"),
        (one_monitor("source: 'sim:teapot'"), "monitors[0].source", "teapot"),
        ("monitors: []\n", "monitors", "at least one monitor"),
        ("monitors: pump\n", "monitors", "pump"),
        ("monitors: [{name: a}, {name: a}]\n", "monitors", "the name a is used twice"),
        ("monitors: [{name: Pump 1}]\n", "monitors[0].name", "lower-case"),
        ("monitors: [{name: a/b}]\n", "monitors[0].name", "lower-case"),
        ("monitors: [{name: ''}]\n", "monitors[0].name", "lower-case"),
        (f"monitors: [{{name: {'a' * 64}}}]\n", "monitors[0].name", "at most 63"),
        ("monitors: [{source: 'sim:pump'}]\n", "monitors[0].name", "required"),
        ("mqtt: {username: press}\n", "mqtt.url", "required"),
        ("mqtt: {url: 'mqtt://h', protocol: 4}\n", "mqtt.protocol", "3"),
        ("mqtt: true\n", "mqtt", "True"),
        ("http: {listen: 9108}\n", "http.listen", "string"),
        ("jsonl: {}\n", "jsonl.path", "required"),
    ],
)
def test_what_is_wrong_is_named_with_its_path(tmp_path, text, where, says):
    message = refusal(tmp_path, text)
    assert message.startswith(f"{where}: ")
    assert says in message


def test_the_value_is_shown(tmp_path):
    assert "(got '14s')" in refusal(tmp_path, one_monitor("alert: {above_s: 14s}"))


def test_every_mistake_is_named_at_once(tmp_path):
    message = refusal(tmp_path, "devise: x\nmonitors: [{name: a, chanel: 1}]\n")
    assert "devise: unknown key" in message
    assert "monitors[0].chanel: unknown key" in message


@pytest.mark.parametrize(
    "text",
    [
        "monitors: [",
        "a: b: c\n",
        "\tx: 1\n",
        "a: !!python/object:os.system {}\n",
        "d: 2024-13-45\n",
    ],
)
def test_what_is_no_yaml_is_refused(tmp_path, text):
    assert refusal(tmp_path, text).startswith("not YAML: ")


@pytest.mark.parametrize("text", ["just words\n", "- a\n- b\n", "42\n"])
def test_a_plain_value_instead_of_keys_is_refused(tmp_path, text):
    assert "must hold keys" in refusal(tmp_path, text)


def test_files_that_cannot_be_read_are_refused(tmp_path):
    (tmp_path / "latin.yaml").write_bytes("device: m\xfcller".encode("latin-1"))
    for path, says in (
        (tmp_path / "nowhere.yaml", "No such file"),
        (tmp_path, "Is a directory"),
        (tmp_path / "latin.yaml", "not UTF-8"),
    ):
        with pytest.raises(ConfigError, match=says):
            load_config(path)


@pytest.mark.parametrize(
    ("raw", "asked"),
    [
        ({}, ("auto", "auto", 1)),
        ({"engine": "openvino"}, ("openvino", "auto", 1)),
        ({"engine": {"name": "onnxruntime", "threads": 2}}, ("onnxruntime", "auto", 2)),
        ({"engine": {"precision": "fp32"}}, ("auto", "fp32", 1)),
    ],
)
def test_an_engine_is_asked_for_by_name_or_in_full(tmp_path, raw, asked):
    request = engine_request(parse_config(raw, "x"), tmp_path)
    assert request == EngineRequest(*asked, cache=tmp_path / "engines", build_s=1800.0)


def test_mqtt_versions_may_be_written_as_numbers():
    assert parse_config({"mqtt": {"url": "mqtt://h", "protocol": 5}}, "x").mqtt.protocol == "5"


def test_a_config_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        Config().device = "other"


def test_a_configuration_error_ends_with_the_code_systemd_does_not_restart_on():
    assert ConfigError.exit_code == 78
