"""Contracts on imports and the rules of the code, read from the source."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "impasto"
FILES = sorted(SOURCE.rglob("*.py"))
MANY = 12  # modules in a package, at most
MAY_PRINT = {"cli.app", "cli.console", "cli.progress", "cli.run", "__main__"}  # and cli.commands


def module_of(path: Path) -> str:
    """Return "losses.gram" for losses/gram.py and "cli.samples" for cli/samples/__init__.py."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name: path for path in FILES if (name := module_of(path))}


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
            inner = [f"{base}.{alias.name}" for alias in node.names]
            names = [n if n.removeprefix("impasto.") in MODULES else base for n in inner]
        else:
            continue
        for name in names:
            if name.startswith("impasto."):
                yield name.removeprefix("impasto.")


IMPORTS = {name: set(imported(ast.parse(path.read_text(encoding="utf-8")))) for name, path in MODULES.items()}


def test_the_contracts_on_imports_hold() -> None:
    """Packages import downwards only, and there are no cycles: see `tool.importlinter` in pyproject.toml."""
    program = Path(sys.executable).with_name("lint-imports")
    command = [program, "--config", "pyproject.toml", "--no-cache"]
    root = SOURCE.parent.parent
    environment = os.environ | {"PYTHONPATH": str(SOURCE.parent)}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]


def test_settings_know_of_the_network_only_the_names_of_layers_and_kernels() -> None:
    known = {
        there
        for here, others in IMPORTS.items()
        for there in others
        if here.startswith("config.") and there.startswith("network")
    }
    assert known == {"network.kernels", "network.layers"}


def test_packages_are_neither_tiny_nor_large() -> None:
    packages: dict[str, list[str]] = {}
    for name, path in MODULES.items():
        if path.name != "__init__.py":
            packages.setdefault(name.rpartition(".")[0], []).append(name)
    assert len({name.partition(".")[0] for name in packages if name}) <= 13
    wrong = {
        name: len(modules)
        for name, modules in packages.items()
        if name != "cli.commands" and not 3 <= len(modules) <= MANY
    }
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


def test_no_function_has_more_than_8_parameters() -> None:
    """Not counted: `self`. Left out: `stylize`, whose arguments are what can be said of a run."""
    many = []
    for path, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and node.name != "stylize":
                names = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                count = sum(item.arg not in ("self", "cls") for item in names)
                if count > 8:
                    many.append(f"{path.name} {node.name}: {count}")
    assert not many


def test_only_the_command_line_prints_and_exits() -> None:
    wrong = []
    for path, tree in trees():
        here = module_of(path)
        if here in MAY_PRINT or here.startswith("cli.commands."):
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
                word.arg == "weights_only" and ast.unparse(word.value) == "True" for word in node.keywords
            ):
                wrong.append(f"{where} torch.load")
            if name == "app.generate_completion":
                continue  # writes a script for a shell, and runs none
            if any(w.arg == "shell" and ast.unparse(w.value) != "False" for w in node.keywords):
                wrong.append(f"{where} shell")
    assert not wrong


# Whole files; what comes from the network.
WRITERS = {"system.files", "network.weights.sources"}
WRITING = set("write_text write_bytes tofile save_file write_to_file rename replace".split())


def test_files_are_written_by_system_files_alone() -> None:
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
            if name in ("os.open", "np.save", "torch.save") and "os.devnull" not in ast.unparse(node):
                wrong.append(f"{path.name}:{node.lineno} {name}")
            if owner == "shutil" or (method in WRITING and (method != "replace" or owner == "os")):
                wrong.append(f"{path.name}:{node.lineno} {name}")
    assert not wrong


def test_light_modules_do_not_import_torch() -> None:
    light = [
        "impasto",
        "impasto.cli.app",
        "impasto.config.settings",
        "impasto.errors",
        "impasto.inputs.pyramid",
        "impasto.network.layers",
        "impasto.network.weights.sources",
        "impasto.network.weights.store",
        "impasto.reports.figures",
        "impasto.reports.html",
        "impasto.system.fallback",
        "impasto.system.files",
        *(f"impasto.{module}" for module in MODULES if module.startswith("cli.commands.")),
    ]
    code = f"import sys, {', '.join(light)}; print('torch' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == "False"


def test_importing_does_nothing(tmp_path) -> None:
    code = (
        "import torch, os; before = (torch.get_num_threads(), torch.initial_seed());"
        "import impasto; [getattr(impasto, name) for name in impasto.__all__];"
        "print((torch.get_num_threads(), torch.initial_seed()) == before, os.listdir('.'))"
    )
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
