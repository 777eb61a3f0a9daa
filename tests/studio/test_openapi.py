"""The description of the interface: complete, and true for requests made from it at random."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from studio.running import TOKEN


@pytest.fixture(scope="module")
def described(server) -> dict:
    return server.get("/openapi.json").json()


def operations(described: dict):
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def test_every_route_says_what_it_does_and_how_it_fails(described) -> None:
    wrong = []
    for name, operation in operations(described):
        if not operation.get("description") or not operation.get("summary"):
            wrong.append(f"{name}: no description")
        answers = operation["responses"]
        if "/api/v1" in name:
            for code in ("401", "403", "421", "422"):
                if "application/problem+json" not in answers.get(code, {}).get("content", {}):
                    wrong.append(f"{name}: {code}")
        for parameter in operation.get("parameters", []):
            if "description" not in parameter and "description" not in parameter.get("schema", {}):
                wrong.append(f"{name}: parameter {parameter['name']}")
    assert not wrong


def test_examples_fit_their_schemas(described) -> None:
    job = described["components"]["schemas"]["NewJob"]
    assert job["examples"]
    from impasto.studio.api.models import NewJob

    for example in job["examples"]:
        NewJob.model_validate(example)


def test_every_reference_leads_somewhere(described) -> None:
    text = json.dumps(described)
    names = {part.partition('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert names <= described["components"]["schemas"].keys()
    assert described["security"] == [{"bearer": []}, {"cookie": []}]


def test_the_settings_of_the_schema_are_the_table(server) -> None:
    from impasto.config.output import Output
    from impasto.config.settings import Settings

    found = server.get("/api/v1/schema").json()
    for name, model in (("settings", Settings), ("output", Output)):
        fields = found[name]["properties"]
        assert list(fields) == list(model.model_fields)
        for field, info in model.model_fields.items():
            item = fields[field]
            assert item["description"] == info.description
            assert item["x-group"] == info.json_schema_extra["group"]
            assert item["x-flag"] == f"--{field.replace('_', '-')}"
            assert "default" in item
    size = found["settings"]["properties"]["size"]
    assert (size["minimum"], size["maximum"], size["type"], size["x-nullable"], size["x-unit"]) == (
        1, 30_000, "integer", True, "px",
    )  # fmt: skip
    main = {name for name, item in found["settings"]["properties"].items() if item.get("x-main")}
    assert main == {"strength", "stroke", "color", "size", "quality"}


def test_presets_have_their_settings(server) -> None:
    from impasto.config.settings import Settings

    found = server.get("/api/v1/presets").json()
    assert [item["name"] for item in found][:3] == ["tinted", "sketchy", "portrait"]
    for item in found:
        assert Settings(**item["settings"]) == Settings.preset(item["name"])


@pytest.mark.slow
def test_requests_made_from_the_description(server) -> None:
    """No answer is a 5xx, and each is one that the description has."""
    program = Path(sys.executable).with_name("schemathesis")
    if not program.exists():
        pytest.skip("schemathesis is not installed")
    command = [
        program, "run", f"{server.address}/openapi.json", "-H", f"Authorization: Bearer {TOKEN}",
        "--checks", "not_a_server_error,status_code_conformance,content_type_conformance",
        "--exclude-path", "/api/v1/events", "--exclude-path", "/readyz", "--phases", "examples,fuzzing",
        "--max-examples", "8", "--seed", "1", "--no-color", "--generation-database", "none",
    ]  # fmt: skip
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=300,
        env={**os.environ, "SCHEMATHESIS_HOOKS": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
