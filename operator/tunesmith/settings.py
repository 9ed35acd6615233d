"""What the administrator sets: environment variables `TUNESMITH_...`, which the chart writes from its values."""

from __future__ import annotations

import hashlib
import ipaddress
import logging
import re
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from tunesmith.cloud.generations import ApiGeneration
from tunesmith.planning.circumstances import Installation, Outbound, PreparationNeeds, RepairTimes
from tunesmith.planning.deadlines import Stage
from tunesmith.planning.price_table import BilledFrom, BilledUntil, BillingRules, Prices, price_table

log = logging.getLogger(__name__)

Dollars = Annotated[Decimal, Field(ge=0)]
# kubernetes: a quantity, such as "500m" or "4Gi".
Quantity = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?(m|[kMGTPE]|[KMGTPE]i)?$")]
InstallationID = Annotated[str, Field(pattern=r"^[a-z0-9]{6}$")]


class Settings(BaseSettings):
    """All of them, with their defaults. Lists and maps are JSON. Durations are in seconds."""

    model_config = SettingsConfigDict(env_prefix="TUNESMITH_", frozen=True, env_ignore_empty=True)

    installation_id: InstallationID | None = None  # None: derived from kube-system's UID and the release
    previous_installation_ids: tuple[InstallationID, ...] = ()
    release: str = "tunesmith"
    operator_namespace: str = "tunesmith-system"
    jobs_namespace: str = "tunesmith-jobs"

    base_url: str = "https://api.together.ai/v1"
    api_generation: ApiGeneration = ApiGeneration.G2
    api_key_file: Path | None = None
    project_id: str | None = None
    credential_namespaces: tuple[str, ...] | None = None

    trainer_image: str = ""
    allowed_images: tuple[str, ...] = ()
    simulated_gpus: bool = False
    preparation_cpu: Quantity = "1"
    preparation_memory: Quantity = "4Gi"
    hub_endpoint: str | None = None  # a mirror of the Hugging Face Hub; None: the Hub itself
    pods_https_proxy: str | None = None  # of the pods of jobs, not of the operator itself
    pods_http_proxy: str | None = None
    pods_no_proxy: str | None = None
    pods_proxy_secret: str | None = None  # in the operator's namespace, as is the next
    pods_ca_config_map: str | None = None
    pods_ca_key: str = "ca.crt"

    create_window_seconds: float = Field(default=30, gt=0)
    settle_seconds: float = Field(default=300, gt=0)
    absence_interval_seconds: float = Field(default=30, gt=0)
    save_grace_seconds: int = Field(default=180, ge=0)
    idle_warn_after_seconds: int = Field(default=1800, ge=1)
    idle_delete_after_seconds: int | None = Field(default=None, ge=1)
    phase_deadline_seconds: dict[Stage, Annotated[int, Field(gt=0)]] = Field(default_factory=dict)
    repair_after_seconds: float = Field(default=600, ge=0)
    repair_after_alert_seconds: float = Field(default=60, ge=0)
    repair_replace_after_seconds: float = Field(default=600, ge=0)
    repair_cooldown_seconds: float = Field(default=1800, ge=0)
    resync_seconds: float = Field(default=600, gt=0)
    orphans_mode: Literal["Report", "Delete"] = "Report"
    orphans_delete_at_most: int = Field(default=1, ge=1)
    orphans_look_seconds: float = Field(default=600, gt=0)

    default_prices: bool = True  # the published prices stand where none is set below; null takes one away
    gpu_hour_usd: dict[str, Dollars | None] = Field(default_factory=dict)
    preemptible_gpu_hour_usd: dict[str, Dollars | None] = Field(default_factory=dict)
    reserved_gpu_hour_usd: dict[str, dict[str, Dollars | None]] = Field(default_factory=dict)  # terms: {"7-30": "3.69"}
    tib_month_usd: Dollars | None = None
    billing_from: BilledFrom = BilledFrom.UNKNOWN
    billing_until: BilledUntil = BilledUntil.UNKNOWN

    workers: int = Field(default=32, ge=1)
    lease_name: str = "tunesmith"
    pod_name: str = ""  # part of the lease's identity; empty: the machine's name
    listen_address: str = "127.0.0.1"
    listen_port: int = Field(default=8080, ge=0, le=65535)
    limits_port: int | None = Field(default=None, ge=0, le=65535)  # None: the models' limits are not served
    limits_requests_per_minute: int = Field(default=120, ge=1)  # of one client
    audit_path: Path | None = None  # None: standard output
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    allow_loopback: bool = False  # for developers: provider and bought clusters on this machine

    @field_validator("base_url")
    @classmethod
    def _without_slash(cls, url: str) -> str:
        return url.rstrip("/")

    @field_validator("hub_endpoint")
    @classmethod
    def _hub_is_a_web_address(cls, url: str | None) -> str | None:
        """Tokens of jobs are sent there; a mirror inside the company may do without TLS, so http is allowed."""
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.query:
            raise ValueError("TUNESMITH_HUB_ENDPOINT must be a URL of scheme, host, port and path only")
        return url.rstrip("/")

    @field_validator("pods_https_proxy", "pods_http_proxy")
    @classmethod
    def _proxy_shows_no_password(cls, url: str | None) -> str | None:
        """What stands here stands in pods, too, for everybody who may read those."""
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.path.strip("/"):
            raise ValueError("the proxy of pods must be a URL of scheme, host and port only")
        if parts.username is not None or parts.password is not None:
            raise ValueError(
                "the proxy of pods must be given without user and password: put the address into a Secret, with keys "
                "HTTP_PROXY and HTTPS_PROXY, and name it by TUNESMITH_PODS_PROXY_SECRET (`outbound.proxy`)"
            )
        return url

    @model_validator(mode="after")
    def _prices_can_be_read(self) -> Settings:
        """A term that is not one is refused when the operator starts, not when somebody reserves."""
        self.prices()
        return self

    @model_validator(mode="after")
    def _base_url_is_safe(self) -> Settings:
        """The API key goes there, so it is https, except on this machine for developers."""
        url = urlsplit(self.base_url)
        if not url.hostname or url.username or url.password or url.query or url.fragment:
            raise ValueError("TUNESMITH_BASE_URL must be a URL of scheme, host, port and path only")
        if any(character.isspace() for character in self.base_url) or not url.hostname.isascii():
            raise ValueError("TUNESMITH_BASE_URL must name its host in plain letters")
        if self.allow_loopback and _is_loopback(url.hostname) and url.scheme in {"http", "https"}:
            return self
        if url.scheme != "https":
            raise ValueError(
                "TUNESMITH_BASE_URL must begin with https://, because the API key is sent there. "
                "A simulator on this machine is allowed with TUNESMITH_ALLOW_LOOPBACK=true."
            )
        if _is_no_place_for_a_key(url.hostname):
            raise ValueError(
                "TUNESMITH_BASE_URL must not point at this machine, at a link-local address or at an address in an "
                "unusual spelling, because the API key is sent there"
            )
        return self

    def installation(self, derived_id: str) -> Installation:
        """What decisions know of the installation; `derived_id` counts when none is set."""
        return Installation(
            id=self.installation_id or derived_id,
            previous_ids=self.previous_installation_ids,
            operator_namespace=self.operator_namespace,
            release=self.lease_name,
            credential_namespaces=self.credential_namespaces,
            has_credential=self.api_key_file is not None,
            jobs_namespace=self.jobs_namespace,
            trainer_image=self.trainer_image,
            allowed_images=self.allowed_images,
            simulated_gpus=self.simulated_gpus,
            preparation=PreparationNeeds(self.preparation_cpu, self.preparation_memory),
            hub_endpoint=self.hub_endpoint,
            outbound=Outbound(
                https_proxy=self.pods_https_proxy,
                http_proxy=self.pods_http_proxy,
                no_proxy=self.pods_no_proxy,
                proxy_secret=self.pods_proxy_secret,
                ca_config_map=self.pods_ca_config_map,
                ca_key=self.pods_ca_key,
            ),
            create_window_seconds=self.create_window_seconds,
            settle_seconds=self.settle_seconds,
            absence_interval_seconds=self.absence_interval_seconds,
            save_grace_seconds=self.save_grace_seconds,
            idle_warn_after_seconds=self.idle_warn_after_seconds,
            idle_delete_after_seconds=self.idle_delete_after_seconds,
            phase_deadline_seconds={stage.value: limit for stage, limit in self.phase_deadline_seconds.items()},
            orphans_are_deleted=self.orphans_mode == "Delete",
            orphans_delete_at_most=self.orphans_delete_at_most,
            orphan_look_seconds=self.orphans_look_seconds,
            repair=RepairTimes(
                after_seconds=self.repair_after_seconds,
                after_alert_seconds=self.repair_after_alert_seconds,
                replace_after_seconds=self.repair_replace_after_seconds,
                cooldown_seconds=self.repair_cooldown_seconds,
            ),
            prices=self.prices(),
            billing=BillingRules(self.billing_from, self.billing_until),
        )

    def prices(self) -> Prices:
        """The price table: the published defaults, unless switched off, with what is set here."""
        return price_table(
            on_demand=self.gpu_hour_usd,
            preemptible=self.preemptible_gpu_hour_usd,
            reserved=self.reserved_gpu_hour_usd,
            tib_month=self.tib_month_usd,
            defaults=self.default_prices,
        )


def derived_installation_id(kube_system_uid: str, release: str) -> str:
    """Six characters that stay the same as long as the cluster and the release do."""
    return hashlib.sha256(f"{kube_system_uid}/{release}".encode()).hexdigest()[:6]


class ApiKeyFile:
    """The installation's API key, read again when its file changes, so that a rotation needs no restart."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._key: SecretStr | None = None

    def read(self) -> SecretStr | None:
        """The key; None when there is none. A file that cannot be read leaves the key as it was."""
        if self._path is None:
            return None
        try:
            stat = self._path.stat()
            stamp = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
            if stamp != self._stamp:
                text = self._path.read_text(encoding="utf-8").strip()
                self._key, self._stamp = (SecretStr(text) if text else None), stamp
        except (OSError, UnicodeDecodeError) as error:
            log.warning("The API key file cannot be read.", extra={"why": type(error).__name__})
        return self._key


def _is_loopback(host: str) -> bool:
    try:
        return _address(host).is_loopback
    except ValueError:
        return _last_label(host) == "localhost"


def _is_no_place_for_a_key(host: str) -> bool:
    """Loopback, link-local (where clouds keep their metadata), unspecified, multicast, and disguised addresses.

    Private addresses may be: a company's own gateway has one.
    """
    try:
        address = _address(host)
    except ValueError:
        last = _last_label(host)
        return last == "localhost" or re.fullmatch(r"\d+|0x[0-9a-f]*", last) is not None
    return (
        address.is_loopback
        or address.is_link_local
        or address.is_unspecified
        or address.is_multicast
        or (address.is_reserved and not address.is_private)
    )


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An address, an IPv4 one also when it is mapped into IPv6. Raises ValueError for a name."""
    address = ipaddress.ip_address(host)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _last_label(host: str) -> str:
    return host.lower().rstrip(".").rsplit(".", 1)[-1]
