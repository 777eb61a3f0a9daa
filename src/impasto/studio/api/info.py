"""Routes of what there is: limits, settings, presets, samples, estimates, one-time tokens."""

import functools
import json
from typing import Any

from fastapi import APIRouter, Request, Response

from impasto._version import __version__
from impasto.config import settings_file
from impasto.config.limits import FORMATS
from impasto.config.model import LARGEST_EDGE, Model
from impasto.config.output import Output
from impasto.config.settings import Settings
from impasto.errors import ImpastoError
from impasto.studio.api import models
from impasto.studio.api.clips import check_films, missing
from impasto.studio.api.forms import studio_of
from impasto.studio.api.problems import ProblemError, answers
from impasto.studio.checks import changed

router = APIRouter(tags=["about"])
MAIN = ("strength", "stroke", "color", "size", "quality")  # what a page shows first
WRITTEN = (("png", ".png", True), ("tiff", ".tif", True), ("jpeg", ".jpg", False), ("webp", ".webp", False),
           ("avif", ".avif", False))  # fmt: skip


@router.get("/about", responses=answers())
async def about(request: Request) -> dict[str, Any]:
    """Return version, devices, limits, formats and disk space; `films` says what is missing for them."""
    studio = studio_of(request)
    facts, limits = studio.supervisor.facts or {}, studio.limits
    return {
        "version": __version__,
        "server": studio.events.server,
        "devices": facts.get("devices", []),
        "weights": facts.get("weights"),
        "limits": {
            "pixels": studio.options.input.max_pixels,
            "bytes": studio.options.input.max_bytes,
            "clip": limits.clip,
            "edge": LARGEST_EDGE,
            "styles": limits.styles,
            "queue": limits.queue,
            "cells": limits.cells,
            "body": limits.body,
            "parts": limits.parts,
            "streams": limits.streams,
        },
        "decoder": studio.decoders.held,
        "films": missing(),
        "formats": {
            "read": [name for name in FORMATS if studio.options.input.allows(name)],
            "write": [
                {"name": name, "extension": suffix, "bits": [8, 16] if deep else [8],
                 "quality": name in ("jpeg", "webp", "avif")}
                for name, suffix, deep in WRITTEN
            ],
        },
        "disk": studio.files.disk(limits.quota),
    }  # fmt: skip


@router.get("/schema", response_model=dict[str, Any], responses=answers())
async def schema() -> Response:
    """Return the JSON Schema of the settings and of the output, with groups, units and order for forms."""
    return Response(_schemas(), media_type="application/json")


@functools.cache
def _schemas() -> bytes:
    return json.dumps({"settings": _schema(Settings), "output": _schema(Output)}).encode()


def _schema(model: type[Model]) -> dict[str, Any]:
    found: dict[str, Any] = model.model_json_schema()
    for order, (name, field) in enumerate(model.model_fields.items()):
        item, extra = found["properties"][name], field.json_schema_extra
        assert isinstance(extra, dict)
        for variant in item.pop("anyOf", []):  # a value or null
            if variant == {"type": "null"}:
                item["x-nullable"] = True
            else:
                item |= variant
        for key in ("group", "unit"):
            item[f"x-{key}"] = item.pop(key, extra[key])
        item |= {"title": name.replace("_", " "), "x-flag": f"--{name.replace('_', '-')}", "x-order": order}
        if name in MAIN:
            item["x-main"] = True
    return found


@router.get("/presets", responses=answers())
async def presets() -> list[dict[str, Any]]:
    """Return the presets, looks first, with what they change."""
    known = [*settings_file.LOOKS, *settings_file.preset_paths()]
    found = []
    for name in dict.fromkeys(known):
        try:
            settings, file = Settings.preset(name), settings_file.resolve_preset(name)
        except ImpastoError:  # one of the user's that is wrong
            continue
        kind = settings_file.kind_of(name)
        values = changed(settings, Settings())
        found.append({"name": name, "title": file.title or name, "kind": kind, "settings": values})
    return found


@router.get("/samples", responses=answers())
async def samples(request: Request) -> list[dict[str, Any]]:
    """Return the pictures that come with impasto; their ids can be used at once."""
    return await studio_of(request).samples()


@router.post("/estimate", responses=answers(501, 503, 507))
async def estimate(request: Request, inputs: models.Inputs) -> models.Estimate:
    """Measure a few evaluations and return what a job will take; nothing is painted."""
    if inputs.film:
        check_films()
    return models.Estimate(**await studio_of(request).estimate(inputs.model_dump()))


@router.post("/tokens", status_code=201, responses=answers(404))
async def new_token(request: Request) -> dict[str, str]:
    """Return a one-time token with which a browser opens the page, at `/?token=...`."""
    access = request.app.state.access
    if not access.page:
        raise ProblemError(404, "this server has no page; impasto studio has one")
    return {"token": access.new_token()}
