from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from django.urls import resolve

import tecken
from tecken.settings import BASE_DIR
from tests.deploy.queries import find_problems

DEPLOY = BASE_DIR / "deploy"
CHART = DEPLOY / "helm" / "tecken"
PLAIN = DEPLOY / "kubernetes" / "tecken.yaml"
VALUES = DEPLOY / "kubernetes" / "values.yaml"
KUBERNETES: Final = "1.33"
"""Version whose schemas are used. Without a cluster, helm renders for the version that it was built with."""
RENDER: Final = (
    "template",
    "tecken",
    str(CHART),
    "--namespace",
    "tecken",
    "--kube-version",
    f"{KUBERNETES}.0",
)
SETS: Final = {
    "plain": (),
    "operators": (
        *("--set", "podMonitor.enabled=true", "--set", "prometheusRule.enabled=true"),
        *("--set", "worker.autoscaling.enabled=true"),
    ),
    "managed": (
        *("--set", "redisCache.enabled=false", "--set", "redisStore.enabled=false"),
        *("--set", "serviceAccount.name=tecken", "--set", "imagePullSecrets[0].name=registry"),
    ),
    "small": (
        *("--set", "ingress.enabled=false", "--set", "config.ALLOWED_HOSTS=symbols"),
        *("--set", "networkPolicy.enabled=false", "--set", "podDisruptionBudget.enabled=false"),
        *("--set", "web.autoscaling.enabled=false", "--set", "migrate.enabled=false"),
        *("--set", "redisStore.maxmemory=8gb"),
    ),
}
CUSTOM: Final = {"ScaledObject", "PodMonitor", "PrometheusRule"}
"""Kinds of operators, which the schemas of Kubernetes do not have."""
Resource = dict[str, Any]


@pytest.fixture
def helm() -> str:
    """Path of helm."""
    if not (program := shutil.which("helm")):
        pytest.skip("helm is not installed (make check-deploy installs it)")
    return program


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def render(helm: str, *options: str) -> list[Resource]:
    result = run(helm, *RENDER, "--values", str(VALUES), *options)
    assert result.returncode == 0, result.stderr
    return load(result.stdout)


def load(text: str) -> list[Resource]:
    return [resource for resource in yaml.safe_load_all(text) if resource]


def pods(resources: Sequence[Resource]) -> Iterator[tuple[str, Resource]]:
    """Yield the component and the specification of each kind of pod."""
    for resource in resources:
        if "template" in resource.get("spec", {}):
            labels = resource["spec"]["template"]["metadata"]["labels"]
            yield labels["app.kubernetes.io/component"], resource["spec"]["template"]["spec"]


# Files that exist twice


@pytest.mark.parametrize(
    ("copy", "original"),
    [
        ("redis-cache.conf", "docker/images/redis-cache/redis.conf"),
        ("redis-store.conf", "docker/images/redis/redis.conf"),
        ("alerts.yml", "deploy/prometheus/alerts.yml"),
    ],
)
def test_file_of_the_chart_equals_the_original(copy: str, original: str) -> None:
    assert (CHART / "files" / copy).read_text() == (BASE_DIR / original).read_text(), f"cp {original} {copy}"


def test_plain_manifests_are_those_of_the_chart(helm: str) -> None:
    result = run(helm, *RENDER, "--values", str(VALUES))
    assert PLAIN.read_text() == result.stdout, f"the first lines of {VALUES} have the command"


def test_versions_of_the_chart_are_that_of_the_site() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == tecken.__version__


# Checkers


@pytest.mark.parametrize("options", SETS.values(), ids=SETS)
def test_helm_lint_accepts_the_chart(helm: str, options: tuple[str, ...]) -> None:
    result = run(helm, "lint", "--strict", str(CHART), "--values", str(VALUES), *options)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("options", SETS.values(), ids=SETS)
def test_schemas_of_kubernetes_accept_the_chart(helm: str, options: tuple[str, ...]) -> None:
    validator = pytest.importorskip("kubernetes_validate", reason="make check-deploy installs it")
    resources = [resource for resource in render(helm, *options) if resource["kind"] not in CUSTOM]
    assert len(resources) > 8
    for resource in resources:
        validator.validate(resource, KUBERNETES, strict=True)


def test_schemas_of_kubernetes_accept_the_plain_manifests() -> None:
    validator = pytest.importorskip("kubernetes_validate", reason="make check-deploy installs it")
    for path in sorted((DEPLOY / "kubernetes").glob("*.yaml")):
        for resource in load(path.read_text()) if path != VALUES else []:
            validator.validate(resource, KUBERNETES, strict=True)


# Values


@pytest.mark.parametrize(
    ("missing", "text"),
    [
        ("image.repository", "image.repository is empty"),
        ("existingSecret", "create a Secret with SECRET_KEY, DATABASE_URL and REDIS_PASSWORD"),
        ("config.STORAGE_URL", "config.STORAGE_URL is empty"),
        ("ingress.host", "ingress.host is empty"),
    ],
)
def test_chart_without_a_required_value_is_refused(helm: str, missing: str, text: str) -> None:
    result = run(helm, *RENDER, "--values", str(VALUES), "--set", f"{missing}=")
    assert result.returncode != 0
    assert text in result.stderr


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("config.STORAGE_URL=file:///app/var", "pods share no disk"),
        ("config.SECRET_KEY=abc", "move it to the Secret"),
        ("web.procceses=2", "procceses"),
        ("web.processes=0", "web.processes"),
        ("redisStore.maxmemory=lots", "redisStore.maxmemory"),
    ],
)
def test_chart_with_a_wrong_value_is_refused(helm: str, value: str, text: str) -> None:
    result = run(helm, *RENDER, "--values", str(VALUES), "--set", value)
    assert result.returncode != 0
    assert text in result.stderr


# Manifests, rendered or as they are in the repository


@pytest.fixture(scope="module")
def resources() -> list[Resource]:
    """Plain manifests."""
    return load(PLAIN.read_text())


def test_pods_of_all_parts_are_there(resources: list[Resource]) -> None:
    parts = sorted(component for component, _ in pods(resources))
    assert parts == ["beat", "migrate", "redis-cache", "redis-store", "web", "worker"]


def test_containers_may_do_as_little_as_possible(resources: list[Resource]) -> None:
    for component, pod in pods(resources):
        assert pod["securityContext"]["runAsNonRoot"], component
        assert not pod["automountServiceAccountToken"], component
        for container in pod["containers"]:
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"], component
            assert not security["allowPrivilegeEscalation"], component
            assert security["capabilities"] == {"drop": ["ALL"]}, component
            assert container["resources"]["limits"]["memory"], component
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}, component


def test_settings_are_documented(resources: list[Resource]) -> None:
    documented = set(re.findall(r"`([A-Z][A-Z_0-9]+)`", (BASE_DIR / "docs" / "configuration.md").read_text()))
    documented |= {"REDIS_PASSWORD", "AWS_REGION"}
    names = {name for item in resources if item["kind"] == "ConfigMap" for name in item["data"]} - {
        "redis.conf"
    }
    for component, pod in pods(resources):
        if not component.startswith("redis-"):
            names |= {item["name"] for container in pod["containers"] for item in container.get("env", ())}
    assert names - documented == set()


def test_probes_ask_for_urls_of_the_site(resources: list[Resource]) -> None:
    (web,) = (pod["containers"][0] for component, pod in pods(resources) if component == "web")
    paths = {name: web[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")}
    assert paths == {"startup": "/health/live", "liveness": "/health/live", "readiness": "/health/ready"}
    assert all(resolve(path) for path in paths.values())


def test_drain_of_web_pods_is_shorter_than_their_grace(resources: list[Resource]) -> None:
    (pod,) = (pod for component, pod in pods(resources) if component == "web")
    settings = {item["name"]: item.get("value") for item in pod["containers"][0]["env"]}
    assert 0 < int(settings["DRAIN_SECONDS"]) < pod["terminationGracePeriodSeconds"] - 30


def test_selectors_of_services_and_policies_match_pods(resources: list[Resource]) -> None:
    components = {component for component, _ in pods(resources)}
    key = "app.kubernetes.io/component"
    for resource in resources:
        spec = resource.get("spec", {})
        selected = spec.get("podSelector", spec.get("selector", {}))
        labels = selected.get("matchLabels", selected)
        if labels:
            assert labels[key] in components, resource["metadata"]["name"]


def test_maxmemory_of_redis_fits_into_its_pod(resources: list[Resource]) -> None:
    for component, pod in pods(resources):
        if component.startswith("redis-"):
            file = (CHART / "files" / f"{component}.conf").read_text()
            megabytes = int(re.findall(r"^maxmemory (\d+)mb$", file, re.MULTILINE)[0])
            assert pod["containers"][0]["resources"]["limits"]["memory"] == "1Gi"
            assert megabytes * 2 <= 1024, component


def test_autoscaling_queries_metrics_of_the_site(helm: str) -> None:
    (scaled,) = (item for item in render(helm, *SETS["operators"]) if item["kind"] == "ScaledObject")
    (trigger,) = scaled["spec"]["triggers"]
    query = trigger["metadata"]["query"]
    assert "tecken_queue_oldest_seconds" in query
    assert find_problems(query) == []


def test_rules_of_the_operator_are_the_alerts(helm: str) -> None:
    options = (*SETS["operators"], "--set", "prometheusRule.docsUrl=https://wiki.example.org/t")
    (rule,) = (item for item in render(helm, *options) if item["kind"] == "PrometheusRule")
    text = (DEPLOY / "prometheus" / "alerts.yml").read_text()
    expected = yaml.safe_load(text.replace("https://docs.example.com/tecken", "https://wiki.example.org/t"))
    assert rule["spec"] == expected


# Custom resources

CRDS: Final = {
    "ScaledObject": ("github.com/kedacore/keda/v2@*", "config/crd/bases/keda.sh_scaledobjects.yaml"),
    **{
        kind: (
            "github.com/prometheus-operator/prometheus-operator@*",
            f"example/prometheus-operator-crd/monitoring.coreos.com_{kind.lower()}s.yaml",
        )
        for kind in ("PodMonitor", "PrometheusRule")
    },
}
"""Go modules, and their files with the schema of each kind."""


def find_schema(kind: str) -> Resource:
    """Return the schema of a custom resource from Go's cache of modules. Skips the test without one."""
    if not (go := shutil.which("go")):
        pytest.skip("go is not installed")
    module, name = CRDS[kind]
    files = sorted(Path(run(go, "env", "GOMODCACHE").stdout.strip()).glob(f"{module}/{name}"))
    if not files:
        pytest.skip(f"{module} is not in the cache of Go (make check-deploy downloads it)")
    crd = yaml.safe_load(files[-1].read_text())
    schema: Resource = close(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"])
    return schema


def close(schema: Any) -> Any:
    """Return a schema that refuses properties which it does not name: Kubernetes would drop them."""
    if isinstance(schema, list):
        return [close(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: close(value) for key, value in schema.items()}
    is_object = isinstance(schema.get("properties"), dict) and schema.get("type") == "object"
    if is_object and not schema.get("x-kubernetes-preserve-unknown-fields"):
        closed.setdefault("additionalProperties", False)
    return closed


@pytest.mark.parametrize("kind", CRDS)
def test_schemas_of_operators_accept_the_chart(helm: str, kind: str) -> None:
    validators = pytest.importorskip("jsonschema")
    schema = find_schema(kind)
    schema["properties"]["metadata"] = {"type": "object"}
    resources = [item for item in render(helm, *SETS["operators"]) if item["kind"] == kind]
    assert resources
    for resource in resources:
        # The schema itself is not checked: it has a pattern in the grammar of Go.
        validators.Draft202012Validator(schema).validate(resource)


def test_kube_score_accepts_the_plain_manifests() -> None:
    """docs/kubernetes.md has the reasons for the rules that are left out."""
    if not (program := shutil.which("kube-score")):
        pytest.skip("kube-score is not installed (make check-deploy installs it)")
    ignored = [
        *("container-ephemeral-storage-request-and-limit", "container-image-pull-policy"),
        "statefulset-has-servicename",
    ]
    options = ("--ignore-container-cpu-limit", "--ignore-test", ",".join(ignored))
    result = run(program, "score", *options, str(PLAIN))
    assert result.returncode == 0, result.stdout
