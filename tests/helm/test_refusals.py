"""What cannot work is refused before anything is installed, with all that is wrong in one message."""

import pytest
from tests.helm.rendering import Helm, Object, Refused

SWITCHED: Object = {"mode": "service", "switchJob": {"version": "2"}}
BEARER: Object = {"security_protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER"}
KEDA: Object = {"mode": "keda", "slo": {"prometheusAddress": "http://p:9090"}}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"replicas": 2}, "additional properties 'replicas' not allowed"),
        ({"triton": {"mod": "sidecar"}}, "at '/triton': additional properties 'mod' not allowed"),
        ({"config": {"pipelines": {"fraud": {"slo": 5}}}}, "additional properties 'slo' not allowed"),
        ({"config": {"pipelines": {"Fraud": {}}}}, "additional properties 'Fraud' not allowed"),
        ({"config": {"kafka": {"session_timeout_ms": "long"}}}, "at '/config/kafka/session_timeout_ms': got string"),
        ({"triton": {"mode": "beside"}}, "at '/triton/mode': value must be one of"),
        ({"replicaCount": 0}, "at '/replicaCount': minimum: got 0, want 1"),
        ({"image": {"digest": "sha256:12"}}, "at '/image/digest'"),
    ],
)
def test_a_wrong_value_is_named_with_its_place(helm: Helm, values: Object, said: str) -> None:
    with pytest.raises(Refused) as refused:
        helm.render(values)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"config": {"kafka": {"sasl_password": "hush"}}}, "put it in a Secret and name that in kafka.sasl"),
        ({"config": {"kafka": {"oauth_client_secret": "hush"}}}, "name that in kafka.oauth.existingSecret"),
        ({"config": {"kafka": {"ssl_key_password": "hush"}}}, "name its key in kafka.tls.keyPasswordKey"),
        ({"kafka": {"tls": {"keyPasswordKey": "a"}}}, "keyPasswordKey needs kafka.tls.keyKey"),
        ({"kafka": {"oauth": {"existingSecret": "s"}}}, "kafka.oauth is for"),
        ({"kafka": {"oauth": {"existingSecret": "s", "tokenAudience": "a"}}}, "choose one source of the token"),
        ({"autoscaling": KEDA, "config": {"kafka": BEARER}}, "KEDA reads the lag with a login of ours"),
        ({"kafka": {"sasl": {"existingSecret": "s"}}, "config": {"kafka": BEARER}}, "set kafka.oauth"),
        ({"config": {"kafka": {"group_instance_id": "a"}}}, "set workload.kind to StatefulSet"),
        ({"config": {"kafka": {"security_protocol": "SASL_SSL"}}}, "SASL_SSL needs user and password"),
        ({"kafka": {"sasl": {"existingSecret": "s"}}}, "has no use with config.kafka.security_protocol PLAINTEXT"),
        ({"kafka": {"tls": {"existingSecret": "s"}}}, "kafka.tls has no use with"),
        ({"kafka": {"tls": {"certKey": "a"}}}, "mutual TLS needs both"),
        ({"kafka": {"tls": {"certKey": "a", "keyKey": "b"}}}, "needs the Secret it is in"),
        ({"kafka": {"tls": {"certManager": {"enabled": True}}}}, "needs kafka.tls.certManager.issuerRef.name"),
        ({"kafka": {"topicsJob": {"enabled": True}}}, "kafka.topicsJob.enabled needs kafka.partitions"),
        ({"config": {"triton": {"model_control_key": "a=hush"}}}, "name that in triton.control.existingSecret"),
        ({"triton": {"switchJob": {"version": "2"}}}, "with triton.mode sidecar each pod has a Triton of its own"),
        ({"triton": {"mode": "service", "switchJob": {"pipeline": "fraud"}}}, "to which version?"),
        ({"triton": SWITCHED | {"switchJob": {"version": "2", "pipeline": "frod"}}}, "config has no pipeline 'frod'"),
        ({"triton": SWITCHED, "config": {"pipelines": {"b": {}, "a": {}}}}, "of which? There are: a, b"),
        ({"triton": {"mode": "external"}}, "triton.mode external needs config.triton.url"),
        ({"config": {"triton": {"url": "a:1"}}}, "with triton.mode sidecar the chart sets it"),
        ({"triton": {"tls": {"existingSecret": "s"}}}, "are for triton.mode external"),
        ({"triton": {"tls": {"certKey": "a"}}}, "triton.tls.certKey and triton.tls.keyKey"),
        ({"triton": {"tls": {"certKey": "a", "keyKey": "b"}}}, "set triton.tls.existingSecret"),
        ({"config": {"triton": {"access_key": "a=hush"}}}, "name that in triton.control.existingSecret"),
        ({"triton": {"mode": "external", "gpu": {"count": 1}}}, "there is no Triton of the chart's"),
        ({"triton": {"nodeSelector": {"a": "b"}}}, "a sidecar goes where its pod goes"),
        ({"config": {"triton": {"model_control": "explicit"}}}, "reaches the Triton of one pod only"),
        (
            {"config": {"triton": {"model_control": "explicit"}}, "triton": {"mode": "service"}},
            "lets anyone load models",
        ),
        ({"triton": {"models": {"source": "pvc"}}}, "pvc needs triton.models.claimName"),
        ({"triton": {"models": {"source": "image"}}}, "image needs triton.models.image"),
        ({"triton": {"models": {"source": "initContainer", "image": "a"}}}, "needs triton.models.command"),
        ({"autoscaling": {"mode": "keda"}}, "keda needs autoscaling.slo.prometheusAddress"),
        ({"autoscaling": KEDA}, "keda needs kafka.partitions"),
        ({"autoscaling": KEDA, "kafka": {"partitions": 3}}, "maxReplicas 4 times config.workers 1 is more than"),
        (
            {"autoscaling": KEDA | {"minReplicas": 5}, "kafka": {"partitions": 9}},
            "minReplicas 5 is more than maxReplicas 4",
        ),
        (
            {"autoscaling": KEDA, "kafka": {"partitions": 9}, "workload": {"kind": "StatefulSet"}},
            "keeps its partitions until its session ends",
        ),
        ({"replicaCount": 3, "config": {"workers": 2}, "kafka": {"partitions": 5}}, "some would have nothing to do"),
        ({"config": {"web": {"port": 0}}}, "config.web.port 0"),
    ],
)
def test_what_cannot_go_together_is_refused(helm: Helm, values: Object, said: str) -> None:
    with pytest.raises(Refused) as refused:
        helm.render(values)
    assert "these values cannot go together:" in str(refused.value)
    assert said in str(refused.value)
    assert "hush" not in str(refused.value)


def test_all_mistakes_are_said_at_once(helm: Helm) -> None:
    values = {
        "kafka": {"sasl": {"existingSecret": "s"}},
        "triton": {"mode": "external"},
        "autoscaling": {"mode": "keda"},
    }
    with pytest.raises(Refused) as refused:
        helm.render(values)
    assert str(refused.value).count("\n- ") == 4


def test_as_many_pods_as_partitions_are_fine(helm: Helm) -> None:
    helm.render({"replicaCount": 3, "config": {"workers": 2}, "kafka": {"partitions": 6}})
    helm.render({"autoscaling": KEDA, "kafka": {"partitions": 4}})
