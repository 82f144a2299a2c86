"""How to reach Kafka and the model server."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr, StringConstraints, field_validator

from inferstream.settings.values import CONTROL_KEY, Brokers, Endpoints, Milliseconds, Tree, off_of_yaml


class KafkaSettings(Tree):
    """How to reach the brokers."""

    bootstrap_servers: Brokers = Field(
        "localhost:9092", description="host:port of one or more brokers, comma separated"
    )
    client_id: str = Field("inferstream", description="name shown in the brokers' logs and quotas")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="transport"
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="SASL mechanism, with a SASL_ transport"
    )
    sasl_username: str | None = Field(None, description="SASL user")
    sasl_password: SecretStr | None = Field(None, description="SASL password; never printed")
    ssl_ca_file: Path | None = Field(
        None, description="PEM file of the authority that signed the brokers' certificates"
    )
    ssl_certificate_file: Path | None = Field(None, description="PEM file of our certificate, for mutual TLS")
    ssl_key_file: Path | None = Field(None, description="PEM file of our private key, for mutual TLS")
    start_timeout_ms: Milliseconds = Field(
        60_000, description="how long to wait for a broker at start before giving up"
    )
    request_timeout_ms: Milliseconds = Field(10_000, description="how long one request to a broker may take")
    session_timeout_ms: Milliseconds = Field(
        20_000, description="silence after which the group gives our partitions away"
    )
    rebalance_timeout_ms: Milliseconds = Field(
        30_000, description="how long a rebalance waits for us; half of it is ours for draining"
    )
    auto_offset_reset: Literal["earliest", "latest"] = Field(
        "earliest", description="where a group without committed offsets begins"
    )
    isolation_level: Literal["read_uncommitted", "read_committed"] = Field(
        "read_committed", description="whether events of open or aborted transactions are read"
    )
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = Field(
        "none", description="compression of what we produce"
    )
    commit_interval_ms: Milliseconds = Field(500, description="how often offsets are committed")
    transaction_timeout_ms: Milliseconds = Field(
        10_000, description="how long one transaction may take, with `delivery: exactly_once`"
    )
    metadata_max_age_ms: Milliseconds = Field(30_000, description="how soon partitions added to a topic are noticed")
    group_instance_id: Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9._-]{1,249}$")] | None = Field(
        None,
        description="name of this process in its groups, its own (a StatefulSet's pod name): within the session "
        "timeout a restart then moves no partitions; default: none",
    )


class TritonSettings(Tree):
    """How to reach the model server: NVIDIA Triton, or any that speaks the open inference protocol v2 over gRPC."""

    url: Endpoints = Field("localhost:8001", description="host:port of one or more gRPC endpoints, comma separated")
    tls: bool = Field(False, description="use TLS")
    ca_file: Path | None = Field(None, description="PEM file of the authority that signed the server's certificate")
    certificate_file: Path | None = Field(None, description="PEM file of our certificate, for mutual TLS")
    key_file: Path | None = Field(None, description="PEM file of our private key, for mutual TLS")
    start_timeout_ms: Milliseconds = Field(
        30_000,
        description="how long readiness waits for the model at start; events are answered by the fallback meanwhile",
    )
    require_model_at_start: bool = Field(False, description="end with an error if the model is not ready by then")
    ready_poll_ms: Milliseconds = Field(500, description="how often the model's readiness is asked")
    max_message_bytes: int = Field(64 * 2**20, ge=2**16, le=2**31 - 1, description="largest request or response")
    shared_memory: Annotated[Literal["off", "auto"], BeforeValidator(off_of_yaml)] = Field(
        "auto",
        description="whether large tensors go to a Triton on this host through shared memory; `auto` finds out by "
        "itself and uses the wire where it cannot be",
    )
    shared_memory_min_bytes: int = Field(
        200 * 2**10, ge=1, le=2**31 - 1, description="tensors of a call, inputs and outputs, from which it is used"
    )
    model_control: Literal["none", "explicit"] = Field(
        "none",
        description="whether `inferstream models switch` loads and unloads versions (the server runs with "
        "`--model-control-mode=explicit`), or only chooses among those it serves",
    )
    model_control_key: SecretStr | None = Field(
        None,
        description="NAME=VALUE as in the server's `--grpc-restricted-protocol=model-repository:NAME=VALUE`; "
        "only `inferstream models` needs it; never printed",
    )

    @field_validator("model_control_key")
    @classmethod
    def _key_has_a_name(cls, given: SecretStr | None) -> SecretStr | None:
        if given is not None and not CONTROL_KEY.fullmatch(given.get_secret_value()):
            raise ValueError("write NAME=VALUE, as after `model-repository:` in the server's option")
        return given

    @property
    def urls(self) -> list[str]:
        """Each endpoint."""
        return self.url.split(",")
