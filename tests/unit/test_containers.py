"""What can be checked of the container files without an engine: they name what exists and hold to the rules."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from inferstream.settings import PipelineSettings, load

ROOT = Path(__file__).parents[2]


def test_everything_the_dockerfile_copies_is_there_and_let_through() -> None:
    text = (ROOT / "service" / "Dockerfile").read_text()
    allowed = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE):
        *sources, _ = line.split()
        for source in sources:
            assert (ROOT / source).exists(), source
            assert source.split("/")[0] in allowed, source


def test_the_image_runs_as_nobody_and_installs_by_hash() -> None:
    text = (ROOT / "service" / "Dockerfile").read_text()
    assert re.search(r"^USER 10001:10001$", text, re.MULTILINE)
    labels = dict(re.findall(r'org\.opencontainers\.image\.([a-z.]+)="([^"]+)"', text))
    assert labels.keys() == {"title", "description", "licenses", "version", "revision", "base.name"}
    assert (labels["version"], labels["revision"]) == ("${VERSION}", "${REVISION}")
    installs = re.findall(r"pip [^&\\\n]*install [^&\\\n]*-r \S+", text)
    assert len(installs) == 2
    for install in installs:
        assert {"--require-hashes", "--no-deps", "--only-binary"} <= set(install.split())


def test_compose_gives_the_service_settings_it_knows_and_topics_it_uses() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    given = services["service"]["environment"]
    settings = load(environ={name: value for name, value in given.items() if value is not None})
    assert settings.kafka.bootstrap_servers.split(":")[0] in services
    assert settings.triton.url == "triton:8001"
    default = PipelineSettings()
    for topic in (default.input_topic, default.output_topic, default.dead_letter_topic):
        assert topic in services["topics"]["command"][0]


def test_triton_is_told_of_a_configuration_that_every_model_it_loads_has() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    for name in ("triton", "triton-gpu"):
        command = " ".join(services[name]["command"])
        (config,) = re.findall(r"--model-config-name=(\w+)", command)
        folder = ROOT / services[name]["volumes"][0].split(":")[0]
        loaded = re.findall(r"--load-model=(\w+)", command)
        assert {"fraud", "fraud_student"} <= set(loaded)
        for model in loaded:
            assert (folder / model / "configs" / f"{config}.pbtxt").is_file()


TRITONS = ("triton", "triton-gpu")
CLOSED = {"model-repository", "shared-memory", "trace", "logging"}


@pytest.mark.parametrize("name", TRITONS)
def test_triton_runs_with_as_little_as_it_needs(name: str) -> None:
    triton = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"][name]
    assert not triton["user"].startswith(("0", "root"))
    assert triton["read_only"] is True
    assert triton["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in triton["security_opt"]
    assert all(volume.endswith(":ro") for volume in triton["volumes"])
    assert "ports" not in triton, "the service alone reaches it"
    assert {"--http-address=127.0.0.1", "--metrics-address=127.0.0.1"} <= set(triton["command"])
    assert any(option.startswith("--grpc-max-response-pool-size=") for option in triton["command"])
    year, month = re.findall(r":-\S+:(\d+)\.(\d+)-py3}", triton["image"])[0]
    assert (int(year), int(month)) >= (26, 3), "before it, what is closed can be opened (CVE-2026-24206, -24207)"


@pytest.mark.parametrize("name", TRITONS)
def test_what_no_event_needs_is_closed_with_a_key_of_its_own_at_each_start(name: str) -> None:
    """The shell line of the entry point, run here with `echo` for the image's script."""
    triton = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"][name]
    shell, option, script, *rest = (word.replace("$$", "$") for word in triton["entrypoint"])
    assert "/opt/nvidia/nvidia_entrypoint.sh" in script
    command = [shell, option, script.replace("/opt/nvidia/nvidia_entrypoint.sh", "echo"), *rest, *triton["command"]]
    starts = [subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() for _ in range(2)]
    for words in starts:
        assert words[:-1] == ["tritonserver", *triton["command"]]
    first, second = (words[-1].partition("=")[2].partition(":") for words in starts)
    assert set(first[0].split(",")) == CLOSED
    assert re.fullmatch(r"closed=[0-9a-f-]{36}", first[2])
    assert first[2] != second[2]


def test_what_the_shell_may_say_of_telemetry_reaches_the_profile_that_takes_it() -> None:
    """The collector is a service of the profile; Grafana finds the project's dashboard where its provider looks."""
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    name = "INFERSTREAM__TELEMETRY__OTLP__ENDPOINT"
    (told,) = re.findall(rf"{name}=(\S+) docker compose --profile (?:\S+) up", (ROOT / "compose.yaml").read_text())
    shell = {key: "0.5" for key, value in compose["services"]["service"]["environment"].items() if value is None}
    settings = load(environ=shell | {name: told})
    assert settings.telemetry.traces.ratio == 0.5
    host, _, port = str(settings.telemetry.otlp.endpoint).removeprefix("http://").partition(":")
    observe = compose["services"][host]
    assert (observe["profiles"], port) == (["observe"], "4317")
    source, target, _ = observe["volumes"][0].split(":")
    assert (ROOT / source).is_file()
    (mounted,) = observe["configs"]
    provider = yaml.safe_load(compose["configs"][mounted["source"]]["content"])["providers"][0]
    assert provider["options"]["path"] == target


def test_only_the_health_port_the_broker_and_grafana_are_open_and_to_this_machine_only() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert len(ports) == 3
    assert all(port.startswith("127.0.0.1:") for port in ports)
