"""The dashboard, the alert rules, the scrape configuration and the guide name only what the services have."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY
from prometheus_client.metrics import MetricWrapperBase

from services.registry import SERVICES
from tests.support.compose import ROOT, compose_services

FOLDER = ROOT / "deploy" / "observability"
GUIDE = (ROOT / "docs" / "observability.md").read_text()
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "dashboard.json").read_text())
ALERTS: dict[str, Any] = yaml.safe_load((FOLDER / "alerts.yaml").read_text())
SCRAPE: dict[str, Any] = yaml.safe_load((FOLDER / "prometheus.yaml").read_text())
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
ROWS = ("HTTP", "Events", "Consumers", "Webhooks", "Timers")
PREFIX = "concordat_"
PROMETHEUS_OWN = {"up": frozenset[str]()}
TARGET_LABELS = frozenset({"job", "instance", "le"})
SAMPLES = {
    "counter": ("_total",),
    "histogram": ("_bucket", "_sum", "_count"),
    "gauge": ("",),
}

TOKEN = re.compile(
    r"""(?P<string>"(?:[^"\\]|\\.)*"|'[^']*')
      | (?P<variable>\$\w+|\$\{\w+\})
      | (?P<number>(?:\d+(?:ms|[smhdwy]))+|\d+(?:\.\d+)?(?:e[+-]?\d+)?)
      | (?P<name>[A-Za-z_:][\w:]*)
      | (?P<operator>=~|!~|!=|>=|<=|==|[-+*/%^<>=(){}\[\],:@])
      | (?P<space>\s+)
      | (?P<unknown>.)""",
    re.VERBOSE,
)
GROUPINGS = {"by", "without", "on", "ignoring", "group_left", "group_right"}
WORDS = {"and", "or", "unless", "bool", "offset", "inf", "nan"}
FUNCTIONS = {
    "sum", "max", "min", "avg", "count", "topk", "bottomk", "rate", "increase", "histogram_quantile", "time",
    "clamp_min", "absent",
}  # fmt: skip
CLOSING = {"(": ")", "[": "]", "{": "}"}


class NotPromQL(ValueError):
    pass


@dataclass(frozen=True)
class Used:
    """A metric as an expression uses it, with the labels its selector names."""

    metric: str
    labels: frozenset[str]


def tokens(expression: str) -> Iterator[tuple[str, str]]:
    for match in TOKEN.finditer(expression):
        kind = str(match.lastgroup)
        if kind == "unknown":
            raise NotPromQL(f"{match.group()!r} in {expression}")
        if kind != "space":
            yield kind, match.group()


def check_brackets(expression: str) -> None:
    awaited = []
    for kind, token in tokens(expression):
        if kind == "operator" and token in CLOSING:
            awaited.append(CLOSING[token])
        elif kind == "operator" and token in CLOSING.values() and (not awaited or awaited.pop() != token):
            raise NotPromQL(f"brackets do not match in {expression}")
    if awaited:
        raise NotPromQL(f"brackets are not closed in {expression}")


def used(expression: str) -> tuple[list[Used], set[str]]:
    """The metrics of an expression with the labels of their selectors, and the labels it groups by."""
    check_brackets(expression)
    read, metrics, grouped = list(tokens(expression)), [], set()
    position = 0
    while position < len(read):
        kind, token = read[position]
        following = read[position + 1][1] if position + 1 < len(read) else ""
        position += 1
        if kind != "name" or token in WORDS:
            continue
        if token in GROUPINGS:
            inside, position = _until_closed(read, position)
            grouped |= inside
        elif following in ("(", "by", "without"):
            if token not in FUNCTIONS:
                raise NotPromQL(f"{token} is no function we know, in {expression}")
        else:
            labels: frozenset[str] = frozenset()
            if following == "{":
                inside, position = _until_closed(read, position)
                labels = frozenset(inside)
            metrics.append(Used(token, labels))
    return metrics, grouped


def _until_closed(read: list[tuple[str, str]], position: int) -> tuple[set[str], int]:
    """The names between the bracket at `position` and the next closing one, and the place after it."""
    names = set()
    while read[position][1] not in (")", "}"):
        if read[position][0] == "name":
            names.add(read[position][1])
        position += 1
    return names, position + 1


@cache
def metrics() -> Mapping[str, MetricWrapperBase]:
    """Every metric of ours, by its name without suffix, once the four applications are imported."""
    for service in SERVICES:
        import_module(f"services.{service}.app")
    known = {c for c in REGISTRY._collector_to_names if isinstance(c, MetricWrapperBase)}
    return {metric._name: metric for metric in known if metric._name.startswith(PREFIX)}


@cache
def samples() -> Mapping[str, frozenset[str]]:
    """Every name a query may use, with the labels it has."""
    return PROMETHEUS_OWN | {
        name + suffix: frozenset(metric._labelnames)
        for name, metric in metrics().items()
        for suffix in SAMPLES[str(metric._type)]
    }


def faults(expression: str) -> list[str]:
    """What an expression names that no service has."""
    uses, grouped = used(expression)
    known = [use for use in uses if use.metric in samples()]
    missing = [f"no metric {use.metric}" for use in uses if use.metric not in samples()]
    labels = [
        f"{use.metric} has no label {label}"
        for use in known
        for label in sorted(use.labels - samples()[use.metric] - TARGET_LABELS)
    ]
    reachable = TARGET_LABELS.union(*(samples()[use.metric] for use in known))
    return missing + labels + [f"nothing has the label {label}" for label in sorted(grouped - reachable)]


def expressions() -> dict[str, str]:
    shown = {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in PANELS
        for target in panel["targets"]
    }
    return shown | {rule["alert"]: rule["expr"] for rule in RULES}


@pytest.mark.parametrize(("where", "expression"), expressions().items())
def test_an_expression_names_only_metrics_and_labels_that_exist(where: str, expression: str) -> None:
    assert faults(expression) == []
    assert used(expression)[0]


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        ("rate(concordat_made_up_total[5m])", "no metric concordat_made_up_total"),
        ("concordat_relay_published", "no metric concordat_relay_published"),
        ("sum(rate(concordat_relay_published_total[5m])) / made_up", "no metric made_up"),
        ("concordat_http_request_seconds", "no metric concordat_http_request_seconds"),
        ('concordat_relay_published_total{topic="x"}', "concordat_relay_published_total has no label topic"),
        ('up{job="x"} > 0 and concordat_ready{servise=~"a|b"}', "concordat_ready has no label servise"),
        ("sum by (consumer) (concordat_ready)", "nothing has the label consumer"),
    ],
)
def test_the_check_finds_what_is_made_up(expression: str, fault: str) -> None:
    assert faults(expression) == [fault]


@pytest.mark.parametrize(
    "expression",
    ["sum(up", "sum(up))", "sum(up]", "summ(up)", "up # comment", "rate(up[5m)]", "up & up"],
)
def test_the_check_refuses_what_is_not_promql(expression: str) -> None:
    with pytest.raises(NotPromQL):
        used(expression)


def test_words_in_strings_and_durations_are_no_metrics() -> None:
    uses, _ = used('sum by (le) (rate(up{job=~"made_up|{x}"}[5m] offset 1h)) > bool 1e3 or up == $threshold')
    assert uses == [Used("up", frozenset({"job"})), Used("up", frozenset())]


def test_the_dashboard_has_a_row_for_every_part_and_no_panel_twice() -> None:
    assert tuple(panel["title"] for panel in DASHBOARD["panels"] if panel["type"] == "row") == ROWS
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in DASHBOARD["panels"]]
    assert len(places) == len(set(places))


def test_the_variables_of_the_dashboard_are_defined_in_it() -> None:
    defined = {variable["name"] for variable in DASHBOARD["templating"]["list"]} | {
        "__rate_interval",
        "__all",
    }
    assert set(re.findall(r"\$\{?(\w+)", json.dumps(DASHBOARD))) == defined
    queries = [v["query"]["query"] for v in DASHBOARD["templating"]["list"] if v["type"] == "query"]
    for query in queries:
        metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", query).groups()  # type: ignore[union-attr]
        assert label in samples()[metric]


@pytest.mark.parametrize("name", sorted(metrics()))
def test_every_metric_is_on_the_dashboard(name: str) -> None:
    shown = {use.metric for panel in PANELS for target in panel["targets"] for use in used(target["expr"])[0]}
    assert any(name + suffix in shown for suffix in SAMPLES[str(metrics()[name]._type)])


@pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])
def test_a_rule_says_how_urgent_it_is_and_what_to_do(rule: dict[str, Any]) -> None:
    assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in {"warn", "page"}
    assert re.fullmatch(r"\d+m", rule["for"])
    assert set(rule["annotations"]) == {"summary", "runbook"}
    assert len(rule["annotations"]["runbook"]) > 80


@pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])
def test_the_text_of_a_rule_uses_only_labels_its_expression_leaves(rule: dict[str, Any]) -> None:
    mentioned = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
    _, grouped = used(rule["expr"])
    keeps_all = not re.search(r"\b(sum|max|min)\b", rule["expr"])
    assert mentioned <= (grouped | (TARGET_LABELS if keeps_all else frozenset()))


PATHS = re.compile(r"(GET|POST) (/[\w/{}. $]*?/v1/[\w/{}]+)")


@pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])
def test_the_requests_of_a_runbook_are_in_the_api_documents(rule: dict[str, Any]) -> None:
    for method, path in PATHS.findall(rule["annotations"]["runbook"]):
        services = SERVICES if "$labels" in path else (path.split("/")[1],)
        for service in services:
            document = json.loads((ROOT / "docs" / "api" / f"{service}.openapi.json").read_text())
            assert method.lower() in document["paths"][re.sub(r"{{.*?}}", service, path)]


@pytest.mark.parametrize(
    "wanted",
    [
        "ConcordatEventsUnpublished",
        "ConcordatEventsStuck",
        "ConcordatConsumerLate",
        "ConcordatDeadLetters",
        "ConcordatTimerNotSucceeding",
        "ConcordatServerErrors",
        "ConcordatDeliveriesExhausted",
        "ConcordatNotReady",
    ],
)
def test_what_must_not_go_unnoticed_has_a_rule(wanted: str) -> None:
    assert wanted in {rule["alert"] for rule in RULES}


def test_no_two_rules_have_the_same_name() -> None:
    assert len({rule["alert"] for rule in RULES}) == len(RULES)


def test_prometheus_asks_every_service_of_compose_for_its_metrics() -> None:
    [job] = [job for job in SCRAPE["scrape_configs"] if job["job_name"] == "concordat"]
    asked = {config["targets"][0]: config["labels"]["__metrics_path__"] for config in job["static_configs"]}
    assert asked == {f"{service}:8000": f"/{service}/metrics" for service in SERVICES}
    assert set(SERVICES) <= set(compose_services())
    assert SCRAPE["rule_files"] == ["alerts.yaml"]


def test_no_target_label_hides_a_label_of_ours() -> None:
    ours = frozenset().union(*(metric._labelnames for metric in metrics().values()))
    configured = re.findall(r"target_label: (\w+)", (FOLDER / "prometheus.yaml").read_text())
    assert not ours & {*configured, "job", "instance"}


def described() -> dict[str, tuple[str, str, str]]:
    """The rows of the guide's table of metrics: type, labels and meaning, by name."""
    rows = re.findall(r"^\| `(concordat_\w+)` \| (\w+) \| (.*?) \| (.*?) \|$", GUIDE, re.MULTILINE)
    return {name: (kind, labels, meaning) for name, kind, labels, meaning in rows}


def test_the_guide_describes_every_metric_there_is() -> None:
    suffix = {"counter": "_total"}
    assert described() == {
        name + suffix.get(str(metric._type), ""): (
            metric._type,
            ", ".join(f"`{label}`" for label in metric._labelnames) or "-",
            metric._documentation,
        )
        for name, metric in metrics().items()
    }
