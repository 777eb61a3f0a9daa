"""The order of the modules and the house rules, read from the source."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "impasto"
FILES = sorted(SOURCE.rglob("*.py"))
ORDER = (  # a module imports from rows above its own only
    {"_version", "errors", "workshop"},
    {"evaluation", "layers", "publish", "places", "models", "conventions", "presets", "units"},
    {
        "anatomy",
        "convolution",
        "curvature",
        "digests",
        "figures",
        "lbfgsb",
        "page",
        "rescue",
        "tiles",
    },
    {"sheets"},
    {"style", "runtime", "output"},
    {"settings", "limits"},
    {
        "descent",
        "recipe",
        "exif",
        "guard",
        "download",
        "formats",
        "held",
        "layouts",
        "machine",
        "store",
        "tensorfiles",
    },
    {"arrays", "claims", "colour", "facts", "genuine", "lab", "palette"},
    {"rare"},
    {"decode"},
    {"xmp"},
    {"encode"},
    {"weights", "picture", "pyramid", "samples", "sources", "axes"},
    {"guides", "masks", "folders"},
    {"vgg", "losses", "solvers", "recolour", "contact"},
    {"inputs"},
    {"pooling", "clean", "moments", "structure", "variation"},
    {"chain", "sliced"},
    {"protection", "regions", "distributions"},
    {"paintings"},
    {"budget", "canvas", "history", "objective", "planner", "targets"},
    {"checkpoint", "faults", "provision", "result", "steering"},
    {"keeper", "strength"},
    {"transfer"},
    {"reproduction", "estimate", "experiment", "gridplan"},
    {"resumption"},
    {"grids"},
    {"console", "doctor", "fetch", "flags", "progress"},
    {"job", "report"},
    {"paint"},
    {"request"},
    {"commands"},
    {"cli"},
    {"__main__"},
)
RANK = {name: rank for rank, names in enumerate(ORDER) for name in names}
MAY_PRINT = {"cli", "commands", "console", "paint", "progress"}


def module_of(path: Path) -> str:
    """Return "losses" for losses.py and "samples" for all of samples/."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def trees() -> Iterator[tuple[Path, ast.Module]]:
    for path in FILES:
        yield path, ast.parse(path.read_text(encoding="utf-8"))


def imported(tree: ast.AST) -> Iterator[str]:
    """Yield the names of our modules that are imported anywhere, in functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            base = node.module or ""
            names = [f"{base}.{a.name}" for a in node.names] if base == "impasto" else [base]
        else:
            continue
        for name in names:
            if name.startswith("impasto."):
                yield name.split(".")[1]


def test_every_module_has_its_place() -> None:
    present = {module_of(path) for path in FILES} - {"__init__"}
    assert present - set(RANK) == set(), "give the new module its row in ORDER"


def test_imports_go_in_one_direction() -> None:
    wrong = []
    for path, tree in trees():
        here = module_of(path)
        if here == "__init__":
            continue  # resolves names lazily; the type checker's imports are not run
        for there in imported(tree):
            if there in RANK and there != here and RANK[there] >= RANK[here]:
                wrong.append(f"{here} imports {there}")
    assert not wrong


def test_no_function_over_60_lines_and_no_module_over_400() -> None:
    """Counted without docstrings, which are the manual and may be as long as they need."""
    long = []
    for path, tree in trees():
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 400:
            long.append(f"{path.name}: {lines}")
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                lines = node.end_lineno - node.lineno + 1
                if ast.get_docstring(node):
                    text = node.body[0]
                    lines -= text.end_lineno - text.lineno + 1
                if lines > 60:
                    long.append(f"{path.name} {node.name}: {lines}")
    assert not long


def test_only_the_command_line_prints_and_exits() -> None:
    wrong = []
    for path, tree in trees():
        if module_of(path) in MAY_PRINT | {"__main__"}:
            continue
        for node in ast.walk(tree):
            text = ast.unparse(node) if isinstance(node, (ast.Name, ast.Attribute)) else ""
            called = isinstance(node, ast.Call) and ast.unparse(node.func)
            if called in ("print", "exit", "quit", "input") or text in (
                "sys.exit",
                "os._exit",
                "sys.stdout",
                "sys.stderr",
                "SystemExit",
            ):
                wrong.append(f"{path.name}:{node.lineno} {called or text}")
    assert not wrong


def test_nothing_that_runs_code_from_data() -> None:
    wrong = []
    for path, tree in trees():
        for node in ast.walk(tree):
            where = f"{path.name}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                names = [alias.name for alias in node.names] + [getattr(node, "module", "") or ""]
                bad = {"pickle", "dill", "joblib", "marshal", "shelve", "cloudpickle"}
                if bad & {name.split(".")[0] for name in names}:
                    wrong.append(f"{where} {names}")
            if not isinstance(node, ast.Call):
                continue
            name = ast.unparse(node.func)
            if name in ("eval", "exec", "compile", "__import__", "os.system"):
                wrong.append(f"{where} {name}")
            if name == "torch.load" and not any(
                word.arg == "weights_only" and ast.unparse(word.value) == "True"
                for word in node.keywords
            ):
                wrong.append(f"{where} torch.load")
            if name == "app.generate_completion":
                continue  # writes a script for a shell, and runs none
            if any(w.arg == "shell" and ast.unparse(w.value) != "False" for w in node.keywords):
                wrong.append(f"{where} shell")
    assert not wrong


WRITERS = {"publish", "download", "fetch"}  # whole files; what comes from the network
WRITING = set("write_text write_bytes tofile save_file write_to_file rename replace".split())


def test_files_are_written_by_publish_alone() -> None:
    wrong = []
    for path, tree in trees():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or module_of(path) in WRITERS:
                continue
            name = ast.unparse(node.func)
            owner, _, method = name.rpartition(".")
            given = [*node.args, *(item.value for item in node.keywords if item.arg == "mode")]
            words = [str(item.value) for item in given if isinstance(item, ast.Constant)]
            writes = any(set(word) & set("wax+") for word in words if set(word) <= set("rwaxbt+"))
            if (method or name) == "open" and writes:
                wrong.append(f"{path.name}:{node.lineno} {name}")
            if name in ("os.open", "np.save", "torch.save") and "os.devnull" not in ast.unparse(
                node
            ):
                wrong.append(f"{path.name}:{node.lineno} {name}")
            if owner == "shutil" or (method in WRITING and (method != "replace" or owner == "os")):
                wrong.append(f"{path.name}:{node.lineno} {name}")
    assert not wrong


def test_light_modules_do_not_import_torch() -> None:
    light = ["impasto", "impasto.errors", "impasto.network.layers", "impasto.config.settings"]
    light += [
        f"impasto.{n}"
        for n in ("publish", "rescue", "pyramid", "store", "download", "fetch", "page", "figures")
        if (SOURCE / f"{n}.py").exists()
    ]
    if (SOURCE / "cli.py").exists():
        light.append("impasto.cli.app")
    code = f"import sys, {', '.join(light)}; print('torch' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == "False"


def test_importing_does_nothing(tmp_path) -> None:
    code = (
        "import torch, os; before = (torch.get_num_threads(), torch.initial_seed());"
        "import impasto; [getattr(impasto, name) for name in impasto.__all__];"
        "print((torch.get_num_threads(), torch.initial_seed()) == before, os.listdir('.'))"
    )
    import os

    environment = os.environ | {"IMPASTO_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env=environment,
    )
    assert done.stdout.strip() == "True []"


@pytest.mark.parametrize("word", ["TODO", "FIXME", "XXX"])
def test_no_loose_ends(word) -> None:
    assert [path.name for path in FILES if word in path.read_text(encoding="utf-8")] == []
