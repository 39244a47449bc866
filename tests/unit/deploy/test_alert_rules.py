"""Prometheus' own promtool evaluates every alert rule on made-up series: each fires on trouble and only then."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.compose import ROOT

RULES_FILE = ROOT / "deploy" / "observability" / "alerts.yaml"
RULES = [rule for group in yaml.safe_load(RULES_FILE.read_text())["groups"] for rule in group["rules"]]
MINUTES = 40

Series = dict[str, str]
# By rule: the series that make it fire, the labels it then has, and the same system in good order.
# Values are promtool's: `0+6x40` starts at 0 and adds 6 a minute, `1x40` stays 1.
CASES: dict[str, tuple[Series, dict[str, str], Series]] = {
    "ConcordatDown": (
        {'up{job="concordat",instance="sla:8000"}': "0x40"},
        {"job": "concordat", "instance": "sla:8000"},
        {'up{job="concordat",instance="sla:8000"}': "1x40", 'up{job="other",instance="x"}': "0x40"},
    ),
    "ConcordatNotReady": (
        {
            'concordat_ready{service="sla",check="database",instance="a"}': "1x40",
            'concordat_ready{service="sla",check="database",instance="b"}': "0x40",
        },
        {"service": "sla", "check": "database"},
        {'concordat_ready{service="sla",check="database",instance="a"}': "1x40"},
    ),
    "ConcordatServerErrors": (
        {
            'concordat_http_requests_total{service="sla",status="200"}': "0+97x40",
            'concordat_http_requests_total{service="sla",status="503"}': "0+3x40",
        },
        {"service": "sla"},
        {
            'concordat_http_requests_total{service="sla",status="200"}': "0+990x40",
            'concordat_http_requests_total{service="sla",status="500"}': "0+10x40",
        },
    ),
    "ConcordatConnectionsExhausted": (
        {
            'concordat_db_pool_in_use{service="sla"}': "10x40",
            'concordat_db_pool_size{service="sla"}': "10x40",
        },
        {"service": "sla"},
        {'concordat_db_pool_in_use{service="sla"}': "9x40", 'concordat_db_pool_size{service="sla"}': "10x40"},
    ),
    "ConcordatManyUnauthenticated": (
        {'concordat_http_auth_failures_total{service="sla",problem="invalid_token"}': "0+600x40"},
        {"service": "sla"},
        {
            'concordat_http_auth_failures_total{service="sla",problem="invalid_token"}': "0+60x40",
            'concordat_http_auth_failures_total{service="sla",problem="role_required"}': "0+600x40",
        },
    ),
    "ConcordatBusAway": (
        {
            'concordat_bus_connected{service="sla",part="relay",instance="a"}': "1x40",
            'concordat_bus_connected{service="sla",part="relay",instance="b"}': "0x40",
        },
        {"service": "sla", "part": "relay"},
        {'concordat_bus_connected{service="sla",part="relay",instance="a"}': "1x40"},
    ),
    "ConcordatTopicsMissing": (
        {'concordat_bus_topics_missing{service="sla"}': "1x40"},
        {"service": "sla"},
        {'concordat_bus_topics_missing{service="sla"}': "0x40"},
    ),
    "ConcordatEventsUnpublished": (
        {'concordat_relay_oldest_unpublished_seconds{service="sla"}': "31x40"},
        {"service": "sla"},
        {'concordat_relay_oldest_unpublished_seconds{service="sla"}': "30x40"},
    ),
    "ConcordatEventsStuck": (
        {'concordat_relay_oldest_unpublished_seconds{service="sla"}': "301x40"},
        {"service": "sla"},
        {'concordat_relay_oldest_unpublished_seconds{service="sla"}': "299x40"},
    ),
    "ConcordatConsumerLate": (
        {'concordat_consumer_lag_seconds{consumer="concordat-sla"}': "61x40"},
        {"consumer": "concordat-sla"},
        {'concordat_consumer_lag_seconds{consumer="concordat-sla"}': "59x40"},
    ),
    "ConcordatConsumerFarBehind": (
        {
            'concordat_consumer_lag_events{consumer="c",topic="t",partition="0"}': "3000x40",
            'concordat_consumer_lag_events{consumer="c",topic="t",partition="1"}': "3000x40",
        },
        {"consumer": "c"},
        {
            'concordat_consumer_lag_events{consumer="c",topic="t",partition="all",instance="a"}': "3000x40",
            'concordat_consumer_lag_events{consumer="c",topic="t",partition="all",instance="b"}': "3000x40",
        },
    ),
    "ConcordatDeadLetters": (
        {'concordat_dead_letters_waiting{service="sla"}': "1x40"},
        {"service": "sla"},
        {'concordat_dead_letters_waiting{service="sla"}': "0x40"},
    ),
    "ConcordatConsumerRebuilt": (
        {'concordat_consumer_rebuilds_total{consumer="c"}': "0+1x40"},
        {"consumer": "c"},
        {'concordat_consumer_rebuilds_total{consumer="c"}': "0x20 1x20"},
    ),
    "ConcordatTimerNotSucceeding": (
        {
            'concordat_timer_last_success_timestamp_seconds{service="sla",timer="reviews"}': "0x40",
            'concordat_timer_interval_seconds{service="sla",timer="reviews"}': "60x40",
        },
        {"service": "sla", "timer": "reviews"},
        {
            'concordat_timer_last_success_timestamp_seconds{service="sla",timer="reviews"}': "0+60x40",
            'concordat_timer_interval_seconds{service="sla",timer="reviews"}': "60x40",
        },
    ),
    "ConcordatDuePostponed": (
        {'concordat_due_postponed{service="sla",instance="a"}': "1x40"},
        {"service": "sla"},
        {'concordat_due_postponed{service="sla",instance="a"}': "0x40"},
    ),
    "ConcordatDueLate": (
        {'concordat_due_late_seconds{service="sla",instance="a"}': "0+60x40"},
        {"service": "sla"},
        {'concordat_due_late_seconds{service="sla",instance="a"}': "2x40"},
    ),
    "ConcordatAuditUnsealed": (
        {'concordat_audit_oldest_unsealed_seconds{service="sla"}': "121x40"},
        {"service": "sla"},
        {'concordat_audit_oldest_unsealed_seconds{service="sla"}': "2x40"},
    ),
    "ConcordatDeliveriesExhausted": (
        {'concordat_deliveries_total{outcome="exhausted"}': "0x35 1x5"},
        {},
        {'concordat_deliveries_total{outcome="done"}': "0+5x40"},
    ),
    "ConcordatEndpointSwitchedOff": (
        {'concordat_endpoints_disabled_total{reason="gone"}': "0x35 1x5"},
        {"reason": "gone"},
        {'concordat_endpoints_disabled_total{reason="by_member"}': "0x35 1x5"},
    ),
    "ConcordatDeliveriesLate": (
        {"concordat_delivery_oldest_due_seconds": "901x40"},
        {},
        {"concordat_delivery_oldest_due_seconds": "899x40"},
    ),
}


@pytest.fixture(scope="module")
def promtool() -> str:
    path = shutil.which("promtool")
    if path is None:
        pytest.skip("promtool is not installed (Debian: prometheus): alert rules are not evaluated")
    return path


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_rule_has_a_case() -> None:
    assert [rule["alert"] for rule in RULES] == list(CASES)


def test_promtool_accepts_the_rules(promtool: str) -> None:
    assert f"{len(RULES)} rules found" in run(promtool, "check", "rules", str(RULES_FILE))


@pytest.mark.parametrize("rule", RULES, ids=list(CASES))
def test_a_rule_fires_on_trouble_and_only_then(promtool: str, tmp_path: Path, rule: dict[str, Any]) -> None:
    trouble, labels, good_order = CASES[rule["alert"]]
    expected = [{"exp_labels": labels | rule["labels"]}]
    _write(tmp_path / "rules.yaml", {"groups": [{"name": "one", "rules": [_without_text(rule)]}]})
    tests = [_at_the_end(rule, trouble, expected), _at_the_end(rule, good_order, [])]
    test_file = _write(
        tmp_path / "test.yaml", {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": tests}
    )
    assert "SUCCESS" in run(promtool, "test", "rules", str(test_file))


def _without_text(rule: dict[str, Any]) -> dict[str, Any]:
    """promtool would compare the words of the runbook too."""
    return {name: value for name, value in rule.items() if name != "annotations"}


def _at_the_end(rule: dict[str, Any], series: Series, expected: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [{"eval_time": f"{MINUTES}m", "alertname": rule["alert"], "exp_alerts": expected}],
    }


def _write(path: Path, content: object) -> Path:
    path.write_text(yaml.safe_dump(content))
    return path
