"""How to reach Kafka and the model server."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr, StringConstraints, field_validator, model_validator

from inferstream.settings.kafka_login import contradictions
from inferstream.settings.values import GRANT_URL, SERVER_KEY, Brokers, Endpoints, Milliseconds, Tree, off_of_yaml


class KafkaSettings(Tree):
    """How to reach the brokers."""

    bootstrap_servers: Brokers = Field(
        "localhost:9092", description="host:port of one or more brokers, comma separated"
    )
    client_id: str = Field("inferstream", description="name shown in the brokers' logs and quotas")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="transport"
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = Field(
        "SCRAM-SHA-512", description="SASL mechanism, with a SASL_ transport"
    )
    sasl_username: str | None = Field(None, description="SASL user")
    sasl_username_file: Path | None = Field(
        None, description="file that holds the user instead; every new connection reads it"
    )
    sasl_password: SecretStr | None = Field(None, description="SASL password; never printed")
    sasl_password_file: Path | None = Field(
        None, description="file that holds the password instead; every new connection reads it"
    )
    ssl_ca_file: Path | None = Field(
        None,
        description="PEM file of the authorities that sign the brokers' certificates; default: the system's. This "
        "file and the two below are read again when they change, for new connections",
    )
    ssl_certificate_file: Path | None = Field(
        None, description="PEM file of our certificate with its chain, for mutual TLS"
    )
    ssl_key_file: Path | None = Field(
        None, description="PEM file of our private key; default: it is in the certificate's file"
    )
    ssl_key_password: SecretStr | None = Field(None, description="password of an encrypted key; never printed")
    ssl_key_password_file: Path | None = Field(None, description="file that holds the key's password instead")
    oauth_token_file: Path | None = Field(
        None, description="OAUTHBEARER: file of a token that somebody else renews; every new connection reads it"
    )
    oauth_token_url: Annotated[str, StringConstraints(pattern=GRANT_URL)] | None = Field(
        None, description="OAUTHBEARER: where to ask for a token with client credentials, https://…"
    )
    oauth_client_id: str | None = Field(None, description="OAUTHBEARER: client id for `oauth_token_url`")
    oauth_client_secret: SecretStr | None = Field(None, description="OAUTHBEARER: client secret; never printed")
    oauth_client_secret_file: Path | None = Field(None, description="OAUTHBEARER: file that holds it instead")
    oauth_scope: str | None = Field(None, description="OAUTHBEARER: scope to ask for, where the server wants one")
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
        "timeout a restart then moves no partitions, and nobody waits for it; default: none",
    )

    @field_validator("security_protocol", "sasl_mechanism", mode="before")
    @classmethod
    def _in_capitals(cls, given: object) -> object:
        """Kafka's own tools take them in small letters too."""
        return given.strip().upper() if isinstance(given, str) else given

    @model_validator(mode="after")
    def _login_fits(self) -> "KafkaSettings":
        if found := contradictions(dict(self)):
            raise ValueError("; ".join(found))
        return self


class TritonSettings(Tree):
    """How to reach the model server: NVIDIA Triton, or any that speaks the open inference protocol v2 over gRPC."""

    url: Endpoints = Field("localhost:8001", description="host:port of one or more gRPC endpoints, comma separated")
    tls: bool = Field(False, description="use TLS")
    ca_file: Path | None = Field(None, description="PEM file of the authority that signed the server's certificate")
    certificate_file: Path | None = Field(
        None, description="PEM file of our certificate (and what signed it), for mutual TLS"
    )
    key_file: Path | None = Field(
        None, description="PEM file of our private key, without a passphrase; default: it is in `certificate_file`"
    )
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
    access_key: SecretStr | None = Field(
        None,
        description="NAME=VALUE sent with every call, as in the server's `--grpc-restricted-protocol=…:NAME=VALUE`, "
        "where it guards what the service asks (statistics, model-config, shared-memory, …); never printed",
    )
    access_key_file: Path | None = Field(None, description="instead, a file with that line; read again when it changes")
    model_control_key: SecretStr | None = Field(
        None,
        description="NAME=VALUE as in the server's `--grpc-restricted-protocol=model-repository:NAME=VALUE`; "
        "only `inferstream models` sends it; never printed",
    )
    model_control_key_file: Path | None = Field(None, description="instead, a file with that line")

    @field_validator("access_key", "model_control_key")
    @classmethod
    def _key_has_a_name(cls, given: SecretStr | None) -> SecretStr | None:
        if given is not None and not SERVER_KEY.fullmatch(given.get_secret_value()):
            raise ValueError(
                "write NAME=VALUE, as after the protocols in the server's option, the name in small letters: "
                "no call can carry capitals there"
            )
        return given

    @model_validator(mode="after")
    def _goes_together(self) -> "TritonSettings":
        files = [name for name in ("ca_file", "certificate_file", "key_file") if getattr(self, name) is not None]
        if files and not self.tls:
            raise ValueError(f"{files[0]} has no use without TLS: set tls to true, or leave it out")
        if self.key_file is not None and self.certificate_file is None:
            raise ValueError("key_file has no use without the certificate it is of: set certificate_file")
        for name in ("access_key", "model_control_key"):
            if getattr(self, name) is not None and getattr(self, f"{name}_file") is not None:
                raise ValueError(f"{name} and {name}_file are both set: leave one of them out")
        return self

    @property
    def urls(self) -> list[str]:
        """Each endpoint."""
        return self.url.split(",")
