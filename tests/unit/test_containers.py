"""What can be checked of the container files without an engine: they name what exists and hold to the rules."""

import re
from pathlib import Path

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
    for install in re.findall(r"pip install [^&\\\n]*-r \S+", text):
        assert "--require-hashes" in install


def test_compose_gives_the_service_settings_it_knows_and_topics_it_uses() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    settings = load(environ=services["service"]["environment"])
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
