"""docker-compose.yml, the image and the gateway against the code: every name in them exists there."""

import json
import re
import tomllib
from collections.abc import Mapping
from fnmatch import fnmatch
from typing import Any, ClassVar

import pytest
import yaml
from typer.testing import CliRunner

from concordat.__main__ import app as cli
from concordat.cli.deployment import Deployment
from concordat.embedded.stand_ins import STAND_INS
from services.registry import SERVICES
from shared.contracts import TOPICS
from shared.data.migrations import owner_role, runtime_role
from shared.runtime.kernel import STOP_SECONDS
from shared.web.problems import Problem
from tests.support.compose import COMPOSE_FILE, ROOT, compose_services, variables
from tests.support.deployment import (
    DOCKERFILE,
    Recording,
    answers,
    app_of,
    commands,
    credentials,
    manifest_file,
    parsed,
    pod_environment,
    pods,
    settings_from,
    settings_names,
)

COMPOSE = compose_services()
OURS = [name for name, service in COMPOSE.items() if service.is_ours]
RUN_ONCE = [name for name in OURS if COMPOSE[name].runs_once]
NGINX = (ROOT / "deploy" / "nginx.conf").read_text()


@pytest.mark.parametrize("name", OURS)
def test_a_compose_command_is_one_the_command_line_understands(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in COMPOSE[name].environment.items():
        monkeypatch.setenv(variable, value)
    parsed(COMPOSE[name].command)


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_starts_after_its_tables_and_topics_exist(service: str) -> None:
    done = {name for name, how in COMPOSE[service].depends_on.items() if how.endswith("successfully")}
    assert done == {"migrate", "topics"} == set(RUN_ONCE)


@pytest.mark.parametrize("service", SERVICES)
def test_every_variable_of_a_compose_service_is_one_of_its_settings(service: str) -> None:
    assert set(COMPOSE[service].environment) <= settings_names(service)


@pytest.mark.parametrize("service", SERVICES)
def test_the_settings_of_compose_are_accepted(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_from(service, COMPOSE[service].environment, monkeypatch)
    [issuer] = settings.issuers
    assert issuer.issuer == COMPOSE["identity-provider"].environment["IDENTITY_PROVIDER_ISSUER"]
    assert (settings.environment, settings.bus) == ("development", "kafka")
    assert settings.sysadmins[0].startswith(f"{issuer.issuer}|")


@pytest.mark.parametrize("environment", [COMPOSE["migrate"].environment, pod_environment("migrate")])
def test_the_migration_reads_every_variable_it_is_given(environment: Mapping[str, str]) -> None:
    given = Recording(environment)
    Deployment.from_environment(given)
    assert set(environment) <= given.read


def test_the_command_that_creates_topics_reads_every_variable_it_is_given() -> None:
    read = {parameter.envvar for parameter in commands().commands["topics"].params}
    assert set(COMPOSE["topics"].environment) <= read


@pytest.mark.parametrize("name", STAND_INS)
def test_a_stand_in_reads_every_variable_it_is_given(name: str) -> None:
    given = Recording(COMPOSE[name].environment)
    STAND_INS[name](given)
    assert given.read == set(COMPOSE[name].environment)


def test_the_example_environment_lists_what_compose_lets_a_user_set_with_its_defaults() -> None:
    lines = [
        line for line in (ROOT / "deploy" / "env.example").read_text().splitlines() if line and line[0] != "#"
    ]
    assert dict(line.split("=", 1) for line in lines) == variables()


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_runs_as_its_own_role_and_knows_no_other_password(service: str) -> None:
    urls = [name for name, value in COMPOSE[service].environment.items() if "postgresql://" in value]
    assert urls == [f"{service.upper()}_DATABASE_URL"]
    assert credentials(COMPOSE[service].environment[urls[0]])[0] == runtime_role(service)


@pytest.mark.parametrize("service", SERVICES)
def test_compose_migrates_with_the_passwords_the_services_use(service: str) -> None:
    migrate, name = COMPOSE["migrate"].environment, f"{service.upper()}_DATABASE_URL"
    assert migrate[name] == COMPOSE[service].environment[name]
    assert credentials(migrate[f"{service.upper()}_MIGRATION_URL"])[0] == owner_role(service)


def test_no_two_roles_share_a_password() -> None:
    passwords = [credentials(url)[1] for url in COMPOSE["migrate"].environment.values()]
    assert len(set(passwords)) == len(passwords)


def test_compose_migrates_as_the_administrator_it_creates() -> None:
    admin = credentials(COMPOSE["migrate"].environment["CONCORDAT_ADMIN_URL"])
    assert admin == ("postgres", COMPOSE["postgres"].environment["POSTGRES_PASSWORD"])


def health_path(name: str) -> str:
    [url] = re.findall(r"http://127\.0\.0\.1:(?:8000|8080)(/[a-z/]+)", " ".join(COMPOSE[name].health))
    return str(url)


@pytest.mark.parametrize("service", SERVICES)
def test_the_health_check_of_a_service_asks_for_a_path_it_answers(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = app_of(service, COMPOSE[service].environment, monkeypatch)
    assert health_path(service) == f"/{service}/readyz"
    assert answers(app, health_path(service))


@pytest.mark.parametrize("name", STAND_INS)
def test_the_health_check_of_a_stand_in_asks_for_a_path_it_answers(name: str) -> None:
    assert answers(STAND_INS[name]({}), health_path(name))


def test_the_health_check_of_the_gateway_asks_for_a_path_it_answers() -> None:
    assert f"location = {health_path('gateway')} {{" in NGINX


def test_a_health_check_needs_nothing_the_image_does_not_have() -> None:
    assert {COMPOSE[name].health[0] for name in OURS if COMPOSE[name].health} == {"python"}


def gateway_prefixes() -> set[str]:
    [services] = re.findall(r"location ~ \^/\(\?<service>([a-z|]+)\)/ \{", NGINX)
    return set(services.split("|"))


def test_the_gateway_knows_the_prefixes_of_the_services() -> None:
    assert gateway_prefixes() == set(SERVICES) == set(SERVICES) & set(COMPOSE)


@pytest.mark.parametrize("service", SERVICES)
def test_the_gateway_calls_the_port_the_services_listen_on(service: str) -> None:
    [port] = re.findall(r"proxy_pass http://\$service:(\d+);", NGINX)
    assert parsed(COMPOSE[service].command)["port"] == int(port)


def test_the_gateway_waits_for_every_service() -> None:
    assert COMPOSE["gateway"].depends_on == dict.fromkeys(SERVICES, "service_healthy")


@pytest.mark.parametrize("service", SERVICES)
def test_the_gateway_lets_the_largest_body_of_a_service_through(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = app_of(service, COMPOSE[service].environment, monkeypatch)
    [megabytes] = re.findall(r"client_max_body_size (\d+)m;", NGINX)
    operations = [o for path in app.openapi()["paths"].values() for o in path.values()]
    largest = max(o.get("x-max-body-bytes", 0) for o in operations if isinstance(o, dict))
    assert largest <= int(megabytes) * 1024 * 1024


@pytest.mark.parametrize("document", re.findall(r"return \d+ '(\{\"type.*\})'", NGINX))
def test_the_gateways_own_refusals_are_whole_problem_documents(document: str) -> None:
    Problem.model_validate(json.loads(document))


class Broker:
    """Stands where the Kafka client's admin connection would be."""

    created: ClassVar[list[Any]] = []

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
) -> None:
    monkeypatch.setattr("shared.messaging.kafka.bus.AIOKafkaAdminClient", Broker)
    words = COMPOSE["topics"].command if name == "compose" else pods()["topics"]["containers"][0]["args"]
    done = CliRunner().invoke(cli, list(words), env={"CONCORDAT_KAFKA_BOOTSTRAP": "kafka:9092"})
    assert done.exit_code == 0, done.exception
    assert sorted(topic.name for topic in Broker.created) == sorted(TOPICS)
    assert {topic.replication_factor for topic in Broker.created} == {replicas}


def images() -> set[str]:
    return {service.image for service in COMPOSE.values()} | set(
        re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    )


@pytest.mark.parametrize("image", sorted(images()))
def test_an_image_has_a_pinned_tag_and_names_no_registry_host(image: str) -> None:
    name, _, tag = image.partition(":")
    assert tag[:1].isdigit(), "pin at least the major version"
    assert not re.search(r"[.:]|localhost", name.split("/")[0]), "no registry host"


def copied() -> list[str]:
    lines = re.findall(r"^COPY (.+)$", DOCKERFILE, re.MULTILINE)
    return [word for line in lines for word in line.split()[:-1] if not word.startswith("--")]


@pytest.mark.parametrize("source", copied())
def test_what_the_image_copies_exists_and_is_not_ignored(source: str) -> None:
    assert (ROOT / source).exists()
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] not in ("", "#")]
    verdict = [rule for rule in rules if fnmatch(source, rule.removeprefix("!"))][-1]
    assert verdict.startswith("!"), f"{source} never reaches the build"


def test_the_image_holds_every_package_and_runs_without_privileges() -> None:
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"][
        "wheel"
    ]
    assert set(packages["packages"]) <= set(copied())
    assert re.search(r"^USER [1-9]\d+:[1-9]\d+$", DOCKERFILE, re.MULTILINE)
    assert 'ENTRYPOINT ["concordat"]' in DOCKERFILE


def test_the_images_version_is_the_projects() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    [kustomized] = manifest_file("kustomization.yaml")["images"]
    assert {COMPOSE[name].image for name in OURS} == {f"concordat:{version}"}
    assert kustomized == {"name": "concordat", "newTag": version}


def test_a_service_has_time_to_finish_what_it_has_in_hand() -> None:
    described = yaml.safe_load(COMPOSE_FILE.read_text())["services"]
    grace = {int(described[service]["stop_grace_period"].removesuffix("s")) for service in SERVICES}
    assert min(grace) > STOP_SECONDS + 5


def test_the_gateway_has_a_front_page_that_leads_to_every_interactive_document() -> None:
    [page] = re.findall(r"location = / \{(.*?)\n        \}", NGINX, re.DOTALL)
    assert re.findall(r'href="/(\w+)/docs"', page) == list(SERVICES)
