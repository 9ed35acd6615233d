"""Settings: where the key is sent is the administrator's decision alone, and a safe one."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import ValidationError

from tunesmith.planning.deadlines import DEFAULT_SECONDS, Stage
from tunesmith.settings import ApiKeyFile, Settings, derived_installation_id


@pytest.mark.parametrize(
    "url",
    [
        "http://api.together.ai/v1",
        "https://user:secret@api.together.ai",
        "https://",
        "ftp://api.together.ai",
        "http://127.0.0.1:8000",
        "https://api.together.ai/v1?x=1",
        "https://api.together.ai/v1#x",
        "https://api.together.ai /v1",
        "https://\u0430pi.together.ai/v1",
        "file:///etc/passwd",
        "https://localhost/v1",
        "https://a.localhost./v1",
        "https://127.0.0.1/v1",
        "https://127.8.9.10/v1",
        "https://[::1]/v1",
        "https://[::ffff:127.0.0.1]/v1",
        "https://[::ffff:169.254.169.254]/v1",
        "https://169.254.169.254/latest",
        "https://[fe80::1]/v1",
        "https://0.0.0.0/v1",
        "https://[::]/v1",
        "https://224.0.0.1/v1",
        "https://2130706433/v1",
        "https://0x7f000001/v1",
        "https://0177.0.0.1/v1",
        "https://127.1/v1",
    ],
)
def test_a_base_url_that_could_leak_the_key_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        Settings(base_url=url)


@pytest.mark.parametrize(
    "url", ["https://api.together.ai/v1", "https://10.1.2.3/v1", "https://gateway.corp.example:8443/together/v1"]
)
def test_the_provider_or_a_gateway_of_the_company_may_be_named(url: str) -> None:
    assert Settings(base_url=url).base_url == url


def test_a_simulator_on_this_machine_is_for_developers() -> None:
    assert Settings(base_url="http://127.0.0.1:8000/", allow_loopback=True).base_url == "http://127.0.0.1:8000"
    with pytest.raises(ValidationError):
        Settings(base_url="http://198.51.100.1:8000/", allow_loopback=True)


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESMITH_INSTALLATION_ID", "abc123")
    monkeypatch.setenv("TUNESMITH_ALLOWED_IMAGES", '["registry.example/trainer:*"]')
    monkeypatch.setenv("TUNESMITH_GPU_HOUR_USD", '{"H100_SXM": "2.99"}')
    monkeypatch.setenv("TUNESMITH_CREDENTIAL_NAMESPACES", "[]")
    monkeypatch.setenv("TUNESMITH_PROJECT_ID", "")
    installation = Settings().installation("zzzzzz")
    assert installation.id == "abc123"
    assert installation.allowed_images == ("registry.example/trainer:*",)
    assert installation.prices.gpu_hour_usd["H100_SXM"] == Decimal("2.99")
    assert installation.credential_namespaces == ()
    assert not installation.has_credential


def test_prices_are_the_published_ones_where_none_is_set_and_null_takes_one_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TUNESMITH_GPU_HOUR_USD", '{"H100_SXM": "2.99", "H200_SXM": null, "B300_SXM": "12.50"}')
    monkeypatch.setenv("TUNESMITH_RESERVED_GPU_HOUR_USD", '{"H100_SXM": {"7-30": "3.00", "181-": "2.00"}}')
    prices = Settings().prices()
    assert prices.gpu_hour_usd == {
        "H100_SXM": Decimal("2.99"),
        "B200_SXM": Decimal("8.19"),
        "B300_SXM": Decimal("12.50"),
    }
    assert prices.preemptible_gpu_hour_usd["H100_SXM"] == Decimal("1.99")
    assert [prices.reserved("H100_SXM", Decimal(days)) for days in (3, 7, 30, 31, 90, 180, 181, 365)] == [
        None,
        Decimal("3.00"),
        Decimal("3.00"),
        Decimal("3.45"),
        Decimal("3.45"),
        Decimal("3.19"),
        Decimal("2.00"),
        Decimal("2.00"),
    ]
    assert (prices.tib_month_usd, prices.defaults_of) == (Decimal("163.84"), "2026-09-21")


def test_without_the_published_prices_only_those_that_are_set_are_known() -> None:
    prices = Settings(default_prices=False, gpu_hour_usd={"H100_SXM": Decimal("2.99")}).prices()
    assert (dict(prices.gpu_hour_usd), prices.tib_month_usd, prices.defaults_of) == (
        {"H100_SXM": Decimal("2.99")},
        None,
        None,
    )


def test_a_term_of_a_reservation_that_is_none_is_refused_at_the_start() -> None:
    with pytest.raises(ValidationError):
        Settings(reserved_gpu_hour_usd={"H100_SXM": {"a month": Decimal("3.00")}})


def test_without_an_id_it_is_derived_and_stays_the_same() -> None:
    derived = derived_installation_id("uid", "tunesmith")
    assert Settings().installation(derived).id == derived == derived_installation_id("uid", "tunesmith")
    assert derived != derived_installation_id("uid", "other")
    assert len(derived) == 6


def test_the_api_key_is_read_again_when_its_file_changes(tmp_path: Path) -> None:
    path = tmp_path / "api-key"
    path.write_text("first\n")
    keys = ApiKeyFile(path)
    assert keys.read().get_secret_value() == "first"
    replacement = tmp_path / "new"
    replacement.write_text("second\n")
    replacement.replace(path)
    assert keys.read().get_secret_value() == "second"
    path.unlink()
    assert keys.read().get_secret_value() == "second"
    assert "second" not in repr(keys.read())


def test_without_a_file_there_is_no_key() -> None:
    assert ApiKeyFile(None).read() is None


def test_deadlines_of_stages_are_set_by_name_and_an_unknown_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESMITH_PHASE_DEADLINE_SECONDS", '{"subnet": 60}')
    assert Settings().installation("abc123").phase_deadline_seconds == {"subnet": 60}
    for wrong in ('{"polishing": 60}', '{"subnet": 0}'):
        monkeypatch.setenv("TUNESMITH_PHASE_DEADLINE_SECONDS", wrong)
        with pytest.raises(ValidationError):
            Settings()


def test_the_chart_and_the_guide_know_every_stage_with_its_default() -> None:
    root = Path(__file__).parents[3]
    schema = json.loads((root / "charts/tunesmith/values.schema.json").read_text())
    named = schema["properties"]["provider"]["properties"]["phaseDeadlineSeconds"]["properties"]
    assert set(named) == {stage.value for stage in Stage}
    guide = (root / "docs/guide/bought-to-usable.md").read_text()
    assert all(f"| `{stage.value}` | {seconds} |" in guide for stage, seconds in DEFAULT_SECONDS.items())
    assert set(DEFAULT_SECONDS) == set(Stage)


@pytest.mark.parametrize("url", ["hub.example", "ftp://hub.example", "https://user:secret@hub.example", "https://"])
def test_a_mirror_of_the_hub_is_a_web_address_without_a_name_in_it(url: str) -> None:
    with pytest.raises(ValidationError):
        Settings(hub_endpoint=url)
    told = Settings(hub_endpoint="http://hub.corp.example/", preparation_cpu="500m", preparation_memory="16Gi")
    installation = told.installation("abc123")
    assert installation.hub_endpoint == "http://hub.corp.example"
    assert (installation.preparation.cpu, installation.preparation.memory) == ("500m", "16Gi")


@pytest.mark.parametrize("url", ["http://user:secret@proxy:3128", "http://user@proxy", "proxy:3128", "http://proxy/a"])
def test_a_proxy_that_stands_in_pods_has_no_password(url: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(pods_https_proxy=url)
    assert "secret" not in str(refused.value.errors(include_input=False))
    told = Settings(pods_https_proxy="http://proxy:3128", pods_no_proxy=".svc", pods_ca_config_map="trusted")
    outbound = told.installation("abc123").outbound
    assert (outbound.https_proxy, outbound.no_proxy) == ("http://proxy:3128", ".svc")
    assert (outbound.ca_config_map, outbound.ca_key, outbound.proxy_secret) == ("trusted", "ca.crt", None)


def test_what_is_no_quantity_is_refused() -> None:
    with pytest.raises(ValidationError):
        Settings(preparation_memory="much")
