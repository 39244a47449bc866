"""The Kubernetes manifests against the code and against docker-compose.yml."""

import pytest

from services.registry import SERVICES
from shared.data.migrations import runtime_role
from shared.runtime.kernel import STOP_SECONDS
from tests.support.compose import compose_services
from tests.support.deployment import (
    DOCKERFILE,
    KUBERNETES,
    answers,
    app_of,
    credentials,
    manifest,
    manifest_file,
    parsed,
    pod_environment,
    pods,
    settings_from,
    settings_names,
)

EXAMPLE_SECRETS = "secrets.example.yaml"
COMPOSE = compose_services()
PODS = pods()


@pytest.mark.parametrize("name", PODS)
def test_a_pods_command_is_one_the_command_line_understands(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in pod_environment(name).items():
        monkeypatch.setenv(variable, value)
    parsed(tuple(PODS[name]["containers"][0]["args"]))


@pytest.mark.parametrize("name", [*SERVICES, "migrate"])
def test_kubernetes_runs_the_commands_of_compose(name: str) -> None:
    assert tuple(PODS[name]["containers"][0]["args"]) == COMPOSE[name].command


@pytest.mark.parametrize("service", SERVICES)
def test_every_variable_of_a_pod_is_one_of_its_settings(service: str) -> None:
    assert set(pod_environment(service)) <= settings_names(service)


@pytest.mark.parametrize("service", SERVICES)
def test_the_settings_of_kubernetes_are_accepted_in_production(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    compose = COMPOSE[service].environment
    keys = {name: compose[name] for name in pod_environment(service) if name.endswith("_KEY")}
    environment = pod_environment(service) | keys
    assert settings_from(service, environment, monkeypatch).environment == "production"


@pytest.mark.parametrize("service", SERVICES)
def test_the_probes_and_the_scraper_ask_for_paths_the_service_answers(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = app_of(service, COMPOSE[service].environment, monkeypatch)
    container = PODS[service]["containers"][0]
    kinds = ("startupProbe", "livenessProbe", "readinessProbe")
    paths = [container[kind]["httpGet"]["path"] for kind in kinds]
    template = manifest("Deployment", service)["spec"]["template"]
    paths.append(template["metadata"]["annotations"]["prometheus.io/path"])
    assert [path for path in paths if not answers(app, path)] == []
    assert paths == [f"/{service}/{end}" for end in ("healthz", "healthz", "readyz", "metrics")]


@pytest.mark.parametrize("service", SERVICES)
def test_the_ingress_reaches_every_operation_and_neither_probes_nor_metrics(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    [rule] = manifest("Ingress", "concordat")["spec"]["rules"]
    entries = rule["http"]["paths"]
    mine = [e["path"] for e in entries if e["backend"]["service"]["name"] == service]
    assert mine == [f"/{service}/v1", f"/{service}/openapi.json", f"/{service}/docs"]
    app = app_of(service, COMPOSE[service].environment, monkeypatch)
    assert [path for path in app.openapi()["paths"] if not path.startswith(f"{mine[0]}/")] == []


def test_the_kustomization_takes_every_manifest_but_the_example_secrets() -> None:
    taken = {"kustomization.yaml", EXAMPLE_SECRETS, *manifest_file("kustomization.yaml")["resources"]}
    assert taken == {path.name for path in KUBERNETES.glob("*")}


@pytest.mark.parametrize("name", PODS)
def test_a_pod_is_unprivileged_and_cannot_write_its_root(name: str) -> None:
    spec, [container] = PODS[name], PODS[name]["containers"]
    assert spec["securityContext"]["runAsNonRoot"]
    assert str(spec["securityContext"]["runAsUser"]) in DOCKERFILE
    assert spec["automountServiceAccountToken"] is spec["enableServiceLinks"] is False
    own = container["securityContext"]
    assert own["readOnlyRootFilesystem"]
    assert (own["allowPrivilegeEscalation"], own["capabilities"]) == (False, {"drop": ["ALL"]})


@pytest.mark.parametrize("service", SERVICES)
def test_the_services_are_deployed_alike(service: str) -> None:
    def described(name: str) -> str:
        return (KUBERNETES / f"{name}.yaml").read_text().replace(name, "<service>")

    assert described(service) == described(SERVICES[0])


@pytest.mark.parametrize("service", SERVICES)
def test_a_pod_has_time_to_finish_what_it_has_in_hand(service: str) -> None:
    assert PODS[service]["terminationGracePeriodSeconds"] > STOP_SECONDS + 5


@pytest.mark.parametrize("service", SERVICES)
def test_a_pod_runs_as_its_own_role_and_knows_no_other_password(service: str) -> None:
    urls = [name for name, value in pod_environment(service).items() if "postgresql://" in value]
    assert urls == [f"{service.upper()}_DATABASE_URL"]
    assert credentials(pod_environment(service)[urls[0]])[0] == runtime_role(service)
