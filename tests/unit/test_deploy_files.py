"""The deployment files against the code: every command, setting, path, role and topic they name exists."""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import pytest
import typer
import yaml
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Match
from typer.testing import CliRunner

from services.__main__ import app as cli
from services.deployment import Deployment
from services.stand_ins import STAND_INS
from shared.contracts import TOPICS
from shared.migrations import SERVICES, owner_role, runtime_role
from shared.settings import KernelSettings
from tests.support.compose import ROOT, compose_services, variables

DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
EXAMPLE_SECRETS = "secrets.example.yaml"
COMPOSE = compose_services()
OURS = [name for name, service in COMPOSE.items() if service.is_ours]
RUN_ONCE = [name for name in OURS if COMPOSE[name].runs_once]
NGINX = (DEPLOY / "nginx.conf").read_text()
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()


class Recording(dict[str, str]):
    """An environment that remembers which of its variables were asked for."""

    def __init__(self, values: Mapping[str, str]) -> None:
        super().__init__(values)
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.read.add(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self.read.add(name)
        return super().get(name, default)


def settings_class(service: str) -> type[KernelSettings]:
    found: type[KernelSettings] = import_module(f"services.{service}.settings").Settings
    return found


def settings_names(service: str) -> set[str]:
    """The environment variables a service's settings are read from."""
    fields = [name.upper() for name in settings_class(service).model_fields]
    return {f"{prefix}_{name}" for prefix in (service.upper(), "CONCORDAT") for name in fields}


def settings_from(
    service: str, environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> KernelSettings:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return settings_class(service)()  # type: ignore[call-arg]


def app_of(service: str, environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    """The service's application, composed as it would be there; nothing connects."""
    settings = settings_from(service, environment, monkeypatch)
    built: FastAPI = import_module(f"services.{service}.app").create_app(settings)
    return built


def parsed(words: tuple[str, ...]) -> click.Context:
    """The command line as the command would understand it; raises when it would refuse it."""
    command, rest = typer.main.get_command(cli), list(words)
    assert isinstance(command, click.Group)
    name = rest.pop(0)
    assert name in command.commands, f"there is no `concordat {name}`"
    return command.commands[name].make_context(name, rest)


def answers(app: Starlette, path: str) -> bool:
    scope = {"type": "http", "method": "GET", "path": path, "headers": []}
    return any(route.matches(scope)[0] is Match.FULL for route in app.router.routes)


def manifests() -> Iterator[dict[str, Any]]:
    for path in sorted(KUBERNETES.glob("*.yaml")):
        yield from yaml.safe_load_all(path.read_text())


def manifest(kind: str, name: str) -> dict[str, Any]:
    [found] = [m for m in manifests() if m["kind"] == kind and m.get("metadata", {}).get("name") == name]
    return found


def pods() -> dict[str, dict[str, Any]]:
    """The pod specification of every workload, by the name of its only container."""
    workloads = [m for m in manifests() if m["kind"] in ("Deployment", "Job")]
    specs = [m["spec"]["template"]["spec"] for m in workloads]
    return {spec["containers"][0]["name"]: spec for spec in specs}


def pod_environment(name: str) -> dict[str, str]:
    """What a pod finds in its environment, with the example secrets."""
    environment: dict[str, str] = {}
    for source in pods()[name]["containers"][0]["envFrom"]:
        if "configMapRef" in source:
            environment |= manifest("ConfigMap", source["configMapRef"]["name"])["data"]
        else:
            environment |= manifest("Secret", source["secretRef"]["name"])["stringData"]
    return environment


PODS = pods()


# Commands


@pytest.mark.parametrize("name", OURS)
def test_a_compose_command_is_one_the_command_line_understands(name: str, monkeypatch: pytest.MonkeyPatch):
    for variable, value in COMPOSE[name].environment.items():
        monkeypatch.setenv(variable, value)
    parsed(COMPOSE[name].command)


@pytest.mark.parametrize("name", PODS)
def test_a_pods_command_is_one_the_command_line_understands(name: str, monkeypatch: pytest.MonkeyPatch):
    for variable, value in pod_environment(name).items():
        monkeypatch.setenv(variable, value)
    parsed(tuple(PODS[name]["containers"][0]["args"]))


@pytest.mark.parametrize("name", [*SERVICES, "migrate"])
def test_kubernetes_runs_the_commands_of_compose(name: str):
    assert tuple(PODS[name]["containers"][0]["args"]) == COMPOSE[name].command


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_starts_after_its_tables_and_topics_exist(service: str):
    done = {name for name, how in COMPOSE[service].depends_on.items() if how.endswith("successfully")}
    assert done == {"migrate", "topics"} == set(RUN_ONCE)


# Settings


@pytest.mark.parametrize("service", SERVICES)
def test_every_variable_of_a_compose_service_is_one_of_its_settings(service: str):
    assert set(COMPOSE[service].environment) <= settings_names(service)


@pytest.mark.parametrize("service", SERVICES)
def test_every_variable_of_a_pod_is_one_of_its_settings(service: str):
    assert set(pod_environment(service)) <= settings_names(service)


@pytest.mark.parametrize("service", SERVICES)
def test_the_settings_of_compose_are_accepted(service: str, monkeypatch: pytest.MonkeyPatch):
    settings = settings_from(service, COMPOSE[service].environment, monkeypatch)
    [issuer] = settings.issuers
    assert issuer.issuer == COMPOSE["identity-provider"].environment["IDENTITY_PROVIDER_ISSUER"]
    assert (settings.environment, settings.bus) == ("development", "kafka")
    assert settings.sysadmins[0].startswith(f"{issuer.issuer}|")


@pytest.mark.parametrize("service", SERVICES)
def test_the_settings_of_kubernetes_are_accepted_in_production(service: str, monkeypatch: pytest.MonkeyPatch):
    key = {"NOTIFIER_SECRET_KEY": COMPOSE["notifier"].environment["NOTIFIER_SECRET_KEY"]}
    environment = pod_environment(service) | (key if service == "notifier" else {})
    assert settings_from(service, environment, monkeypatch).environment == "production"


@pytest.mark.parametrize("environment", [COMPOSE["migrate"].environment, pod_environment("migrate")])
def test_the_migration_reads_every_variable_it_is_given(environment: Mapping[str, str]):
    given = Recording(environment)
    Deployment.from_environment(given)
    assert set(environment) <= given.read


def test_the_command_that_creates_topics_reads_every_variable_it_is_given():
    topics = typer.main.get_command(cli)
    assert isinstance(topics, click.Group)
    read = {parameter.envvar for parameter in topics.commands["topics"].params if parameter.envvar}
    assert set(COMPOSE["topics"].environment) <= {
        n for names in read for n in ([names] if isinstance(names, str) else names)
    }


@pytest.mark.parametrize("name", STAND_INS)
def test_a_stand_in_reads_every_variable_it_is_given(name: str):
    given = Recording(COMPOSE[name].environment)
    STAND_INS[name](given)
    assert given.read == set(COMPOSE[name].environment)


def test_the_example_environment_lists_what_compose_lets_a_user_set_with_its_defaults():
    lines = [line for line in (DEPLOY / "env.example").read_text().splitlines() if line and line[0] != "#"]
    assert dict(line.split("=", 1) for line in lines) == variables()


# Database roles


def credentials(url: str) -> tuple[str | None, str | None]:
    parts = urlsplit(url)
    return parts.username, parts.password


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("place", ["compose", "kubernetes"])
def test_a_service_runs_as_its_own_role_and_knows_no_other_password(service: str, place: str):
    environment = COMPOSE[service].environment if place == "compose" else pod_environment(service)
    urls = {name: value for name, value in environment.items() if "postgresql://" in value}
    assert list(urls) == [f"{service.upper()}_DATABASE_URL"]
    assert credentials(*urls.values())[0] == runtime_role(service)


@pytest.mark.parametrize("service", SERVICES)
def test_compose_migrates_with_the_passwords_the_services_use(service: str):
    migrate, name = COMPOSE["migrate"].environment, f"{service.upper()}_DATABASE_URL"
    assert migrate[name] == COMPOSE[service].environment[name]
    assert credentials(migrate[f"{service.upper()}_MIGRATION_URL"])[0] == owner_role(service)


def test_no_two_roles_share_a_password():
    passwords = [credentials(url)[1] for url in COMPOSE["migrate"].environment.values()]
    assert len(set(passwords)) == len(passwords)


def test_compose_migrates_as_the_administrator_it_creates():
    admin = credentials(COMPOSE["migrate"].environment["CONCORDAT_ADMIN_URL"])
    assert admin == ("postgres", COMPOSE["postgres"].environment["POSTGRES_PASSWORD"])


# Health checks and paths


def health_path(name: str) -> str:
    [url] = re.findall(r"http://127\.0\.0\.1:(?:8000|8080)(/[a-z/]+)", " ".join(COMPOSE[name].health))
    return str(url)


@pytest.mark.parametrize("service", SERVICES)
def test_the_health_check_of_a_service_asks_for_a_path_it_answers(
    service: str, monkeypatch: pytest.MonkeyPatch
):
    app = app_of(service, COMPOSE[service].environment, monkeypatch)
    assert health_path(service) == f"/{service}/readyz"
    assert answers(app, health_path(service))


@pytest.mark.parametrize("name", STAND_INS)
def test_the_health_check_of_a_stand_in_asks_for_a_path_it_answers(name: str):
    assert answers(STAND_INS[name]({}), health_path(name))


def test_the_health_check_of_the_gateway_asks_for_a_path_it_answers():
    assert f"location = {health_path('gateway')} {{" in NGINX


def test_a_health_check_needs_nothing_the_image_does_not_have():
    assert {COMPOSE[name].health[0] for name in OURS if COMPOSE[name].health} == {"python"}


@pytest.mark.parametrize("service", SERVICES)
def test_the_probes_and_the_scraper_ask_for_paths_the_service_answers(
    service: str, monkeypatch: pytest.MonkeyPatch
):
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
):
    [rule] = manifest("Ingress", "concordat")["spec"]["rules"]
    entries = rule["http"]["paths"]
    mine = [e["path"] for e in entries if e["backend"]["service"]["name"] == service]
    assert mine == [f"/{service}/v1", f"/{service}/openapi.json"]
    app = app_of(service, COMPOSE[service].environment, monkeypatch)
    assert [path for path in app.openapi()["paths"] if not path.startswith(f"{mine[0]}/")] == []


# Gateway


def gateway_prefixes() -> set[str]:
    [found] = re.findall(r"location ~ \^/\(\?<service>([a-z|]+)\)/ \{", NGINX)
    return set(found.split("|"))


def test_the_gateway_knows_the_prefixes_of_the_services():
    assert gateway_prefixes() == set(SERVICES) == set(SERVICES) & set(COMPOSE)


@pytest.mark.parametrize("service", SERVICES)
def test_the_gateway_calls_the_port_the_services_listen_on(service: str):
    [port] = re.findall(r"proxy_pass http://\$service:(\d+);", NGINX)
    assert parsed(COMPOSE[service].command).params["port"] == int(port)


def test_the_gateway_waits_for_every_service():
    assert COMPOSE["gateway"].depends_on == dict.fromkeys(SERVICES, "service_healthy")


@pytest.mark.parametrize("service", SERVICES)
def test_the_gateway_lets_the_largest_body_of_a_service_through(
    service: str, monkeypatch: pytest.MonkeyPatch
):
    app = app_of(service, COMPOSE[service].environment, monkeypatch)
    [megabytes] = re.findall(r"client_max_body_size (\d+)m;", NGINX)
    operations = [o for path in app.openapi()["paths"].values() for o in path.values()]
    largest = max(o.get("x-max-body-bytes", 0) for o in operations if isinstance(o, dict))
    assert largest <= int(megabytes) * 1024 * 1024


@pytest.mark.parametrize("document", re.findall(r"return \d+ '(\{\"type.*\})'", NGINX))
def test_the_gateways_own_refusals_are_whole_problem_documents(document: str):
    from shared.errors import Problem

    Problem.model_validate(json.loads(document))


# Topics


class Broker:
    """Stands where the Kafka client's admin connection would be."""

    created: list[Any] = []

    def __init__(self, **options: Any) -> None:
        self.options = options

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def list_topics(self) -> list[str]:
        return []

    async def create_topics(self, topics: list[Any]) -> Any:
        Broker.created = topics
        return type("Response", (), {"topic_errors": [(topic.name, 0, None) for topic in topics]})


@pytest.mark.parametrize(("name", "replicas"), [("compose", 1), ("kubernetes", 3)])
def test_the_topics_that_are_created_are_the_ones_the_contracts_name(
    name: str, replicas: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("shared.messaging.kafka.AIOKafkaAdminClient", Broker)
    words = COMPOSE["topics"].command if name == "compose" else PODS["topics"]["containers"][0]["args"]
    done = CliRunner().invoke(cli, list(words), env={"CONCORDAT_KAFKA_BOOTSTRAP": "kafka:9092"})
    assert done.exit_code == 0, done.exception
    assert sorted(topic.name for topic in Broker.created) == sorted(TOPICS)
    assert {topic.replication_factor for topic in Broker.created} == {replicas}


# Images


def images() -> set[str]:
    return {service.image for service in COMPOSE.values()} | set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.M))


@pytest.mark.parametrize("image", sorted(images()))
def test_an_image_has_a_pinned_tag_and_names_no_registry_host(image: str):
    name, _, tag = image.partition(":")
    assert tag[:1].isdigit(), "pin at least the major version"
    assert not re.search(r"[.:]|localhost", name.split("/")[0]), "no registry host"


def copied() -> list[str]:
    lines = re.findall(r"^COPY (.+)$", DOCKERFILE, re.M)
    return [word for line in lines for word in line.split()[:-1] if not word.startswith("--")]


@pytest.mark.parametrize("source", copied())
def test_what_the_image_copies_exists_and_is_not_ignored(source: str):
    assert (ROOT / source).exists()
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] not in ("", "#")]
    verdict = [rule for rule in rules if fnmatch(source, rule.removeprefix("!"))][-1]
    assert verdict.startswith("!"), f"{source} never reaches the build"


def test_the_image_holds_every_package_and_runs_without_privileges():
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"][
        "wheel"
    ]
    assert set(packages["packages"]) <= set(copied())
    assert re.search(r"^USER [1-9]\d+:[1-9]\d+$", DOCKERFILE, re.M)
    assert 'ENTRYPOINT ["concordat"]' in DOCKERFILE


def test_the_images_version_is_the_projects():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    [kustomized] = manifest_file("kustomization.yaml")["images"]
    assert {COMPOSE[name].image for name in OURS} == {f"concordat:{version}"}
    assert kustomized == {"name": "concordat", "newTag": version}


# Kubernetes


def manifest_file(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((KUBERNETES / name).read_text())
    return loaded


def test_the_kustomization_takes_every_manifest_but_the_example_secrets():
    taken = {"kustomization.yaml", EXAMPLE_SECRETS, *manifest_file("kustomization.yaml")["resources"]}
    assert taken == {path.name for path in KUBERNETES.glob("*")}


@pytest.mark.parametrize("name", PODS)
def test_a_pod_is_unprivileged_and_cannot_write_its_root(name: str):
    spec, [container] = PODS[name], PODS[name]["containers"]
    assert spec["securityContext"]["runAsNonRoot"]
    assert str(spec["securityContext"]["runAsUser"]) in DOCKERFILE
    assert spec["automountServiceAccountToken"] is spec["enableServiceLinks"] is False
    own = container["securityContext"]
    assert own["readOnlyRootFilesystem"]
    assert (own["allowPrivilegeEscalation"], own["capabilities"]) == (False, {"drop": ["ALL"]})


@pytest.mark.parametrize("service", SERVICES)
def test_the_services_are_deployed_alike(service: str):
    def described(name: str) -> str:
        return (KUBERNETES / f"{name}.yaml").read_text().replace(name, "<service>")

    assert described(service) == described(SERVICES[0])


def test_a_pod_has_time_to_finish_what_it_has_in_hand():
    from shared.app import STOP_SECONDS

    grace = {PODS[service]["terminationGracePeriodSeconds"] for service in SERVICES}
    compose = yaml.safe_load(Path(ROOT / "docker-compose.yml").read_text())["services"]
    grace |= {int(compose[service]["stop_grace_period"].removesuffix("s")) for service in SERVICES}
    assert min(grace) > STOP_SECONDS + 5
