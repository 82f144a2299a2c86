"""Triton beside the service, in pods of its own, and elsewhere."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.helm.rendering import Helm, Object, Rendered, container, containers, example


def tritons(rendered: Rendered) -> list[Object]:
    return [pod for _, pod in rendered.pods() if any(each["name"] == "triton" for each in containers(pod))]


def mount(each: Object, path: str) -> Object:
    (found,) = [m for m in each["volumeMounts"] if m["mountPath"] == path]
    return dict(found)


def test_a_sidecar_is_up_before_the_service_and_shares_its_memory(helm: Helm, tmp_path: Path) -> None:
    rendered = helm.render({})
    pod = rendered.service
    triton, service = container(pod, "triton"), container(pod, "service")
    assert triton in pod["initContainers"]
    assert triton["restartPolicy"] == "Always"
    assert "startupProbe" in triton
    assert mount(triton, "/dev/shm")["name"] == mount(service, "/dev/shm")["name"]
    (shared,) = [volume for volume in pod["volumes"] if volume["name"] == "shm"]
    assert shared["emptyDir"]["medium"] == "Memory"
    assert rendered.settings(tmp_path).triton.url == "127.0.0.1:8001"


def test_a_service_is_called_by_the_name_of_each_pod(helm: Helm, tmp_path: Path) -> None:
    rendered = helm.render(example("service"))
    owner = rendered.one("StatefulSet", "-triton")
    headless = rendered.one("Service", "-triton")
    assert headless["spec"]["clusterIP"] == "None"
    assert owner["spec"]["serviceName"] == headless["metadata"]["name"]
    name = owner["metadata"]["name"]
    expected = [f"{name}-{n}.{name}.prod.svc:8001" for n in range(owner["spec"]["replicas"])]
    settings = rendered.settings(tmp_path)
    assert settings.triton.urls == expected
    assert settings.triton.shared_memory == "off"
    assert not any(each["name"] == "triton" for each in containers(rendered.service))
    assert owner["spec"]["template"]["spec"]["nodeSelector"] == {"pool": "gpu"}


def test_an_external_one_is_nobody_of_ours(helm: Helm, tmp_path: Path) -> None:
    rendered = helm.render(example("static"))
    assert tritons(rendered) == []
    assert rendered.settings(tmp_path).triton.tls is True


def test_models_are_read_only_for_triton(rendered: Rendered) -> None:
    for pod in tritons(rendered):
        assert mount(container(pod, "triton"), "/models")["readOnly"] is True


@pytest.mark.parametrize("name", ["default", "secured"])
def test_models_are_copied_by_the_settings_of_the_service(helm: Helm, name: str) -> None:
    """All of them: a file that is only half of what the service reads may be refused, or ask for other models."""
    pod = helm.render({**example(name), "extraEnvFrom": [{"configMapRef": {"name": "more"}}]}).service
    models, service = container(pod, "models"), container(pod, "service")
    assert (models["env"], models["envFrom"]) == (service["env"], service["envFrom"])
    assert mount(models, "/etc/inferstream") == mount(service, "/etc/inferstream")


@pytest.mark.parametrize(
    ("name", "kind", "copied"),
    [("default", "emptyDir", True), ("gpu", "persistentVolumeClaim", False), ("image-volume", "image", False)],
)
def test_models_come_from_where_the_values_say(helm: Helm, name: str, kind: str, copied: bool) -> None:
    pod = helm.render(example(name)).service
    (models,) = [volume for volume in pod["volumes"] if volume["name"] == "models"]
    assert kind in models
    starting = [each["name"] for each in pod["initContainers"]]
    assert starting == (["models", "triton"] if copied else ["triton"])


def test_the_shipped_models_that_the_settings_ask_for_are_copied(helm: Helm, tmp_path: Path) -> None:
    rendered = helm.render({"config": {"pipelines": {"fraud": {"fallback_model": "fraud_trees"}}}})
    done = copied(rendered, tmp_path)
    assert done.returncode == 0, done.stderr
    assert {folder.name for folder in (tmp_path / "models").iterdir()} == {"fraud", "fraud_trees"}
    assert (tmp_path / "models" / "fraud" / "config.pbtxt").is_file()


def test_a_model_that_is_not_shipped_is_named(helm: Helm, tmp_path: Path) -> None:
    done = copied(helm.render({"config": {"pipelines": {"fraud": {"model": "mine"}}}}), tmp_path)
    assert done.returncode == 3
    assert "model 'mine' of pipeline 'fraud' is not shipped" in done.stderr
    assert not (tmp_path / "models").exists()


def copied(rendered: Rendered, folder: Path) -> "subprocess.CompletedProcess[str]":
    """What the init container's command does, here."""
    copying = container(rendered.service, "models")
    (folder / "settings.yaml").write_text(rendered.settings_text)
    arguments = [argument.replace("/models", str(folder / "models")) for argument in copying["args"]]
    environ = {variable["name"]: str(folder / "settings.yaml") for variable in copying["env"]}
    command = [sys.executable, "-m", "inferstream", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environ, check=False)


def test_a_gpu_is_asked_for_and_its_configuration_used(helm: Helm) -> None:
    gpu, cpu = (container(helm.render(example(name)).service, "triton") for name in ("gpu", "default"))
    assert gpu["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert "nvidia.com/gpu" not in cpu["resources"]["limits"]
    assert "--model-config-name=gpu" in gpu["args"]
    assert "--model-config-name=cpu" in cpu["args"]


def test_what_values_add_reaches_triton(helm: Helm) -> None:
    """A writable folder for a backend on its read-only root, say."""
    added = {
        "extraEnv": [{"name": "HOME", "value": "/scratch/{{ .Release.Name }}"}],
        "extraVolumes": [{"name": "scratch", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
    }
    for mode in ("sidecar", "service"):
        rendered = helm.render({"triton": {"mode": mode, **added}, "tests": {"enabled": False}})
        (pod,) = tritons(rendered)
        triton = container(pod, "triton")
        assert {"name": "HOME", "value": "/scratch/r"} in triton["env"]
        assert mount(triton, "/scratch")["name"] == "scratch"
        assert {"name": "scratch", "emptyDir": {}} in pod["volumes"]


def test_a_pod_with_a_gpu_may_need_a_runtime_of_its_own(helm: Helm) -> None:
    assert helm.render({"runtimeClassName": "nvidia"}).service["runtimeClassName"] == "nvidia"
    rendered = helm.render({"triton": {"mode": "service", "runtimeClassName": "nvidia"}, "tests": {"enabled": False}})
    (pod,) = tritons(rendered)
    assert pod["runtimeClassName"] == "nvidia"
    assert "runtimeClassName" not in rendered.service


def test_tritons_of_their_own_copy_the_models_that_changed_settings_ask_for(helm: Helm) -> None:
    def annotations(model: str, source: str) -> Object:
        values = {"mode": "service", "models": {"source": source, "claimName": "c"}}
        config = {"pipelines": {"fraud": {"fallback_model": model}}}
        owner = helm.render({"triton": values, "config": config}).one("StatefulSet", "-triton")
        return dict(owner["spec"]["template"]["metadata"].get("annotations", {}))

    assert annotations("fraud_trees", "shipped") != annotations("fraud_int8", "shipped")
    assert annotations("fraud_trees", "pvc") == annotations("fraud_int8", "pvc")


def kept(guard: str) -> set[str]:
    """The protocols of an option that wants a key."""
    return set(guard.partition("=")[2].partition(":")[0].split(","))


def test_apis_beside_inference_want_the_key(helm: Helm, tmp_path: Path) -> None:
    rendered = helm.render(example("service"))
    (triton,) = rendered.one("StatefulSet", "-triton")["spec"]["template"]["spec"]["containers"]
    (guard,) = [a for a in triton["args"] if a.startswith("--grpc-restricted-protocol=")]
    assert guard.endswith(":$(CONTROL_KEY)")
    assert kept(guard) == {"model-repository", "shared-memory", "model-config", "statistics", "trace", "logging"}
    (secret,) = [v["valueFrom"]["secretKeyRef"] for v in triton["env"] if v["name"] == "CONTROL_KEY"]
    (volume,) = [v["secret"] for v in rendered.service["volumes"] if v["name"] == "triton-control"]
    assert (volume["secretName"], volume["items"][0]["key"]) == (secret["name"], secret["key"])
    file = Path(mount(container(rendered.service, "service"), "/etc/triton-control")["mountPath"]) / secret["key"]
    assert rendered.settings(tmp_path).triton.access_key_file == file


def test_without_a_key_what_the_service_does_not_need_is_closed_to_all(helm: Helm) -> None:
    """A sidecar shares memory with its service; Triton's own pods share it with nobody."""
    for mode, closed in (("sidecar", set[str]()), ("service", {"shared-memory"})):
        (pod,) = tritons(helm.render({"triton": {"mode": mode}, "tests": {"enabled": False}}))
        triton = container(pod, "triton")
        (guard,) = [a for a in triton["args"] if a.startswith("--grpc-restricted-protocol=")]
        assert kept(guard) == {"model-repository", "trace", "logging"} | closed
        assert guard.endswith(":$(CONTROL_KEY)")
        uid, key = triton["env"]
        assert uid["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.uid"
        assert key == {"name": "CONTROL_KEY", "value": f"closed=$({uid['name']})"}


def test_triton_is_a_version_that_keeps_what_is_closed_closed(helm: Helm) -> None:
    """CVE-2026-24206 and -24207 are mended in 26.03."""
    (triton,) = [container(pod, "triton") for pod in tritons(helm.render({"tests": {"enabled": False}}))]
    year, month = triton["image"].rpartition(":")[2].split("-")[0].split(".")
    assert (int(year), int(month)) >= (26, 3)
    assert triton["securityContext"]["readOnlyRootFilesystem"] is True
    assert "--allow-http=false" in triton["args"]
