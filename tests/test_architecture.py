"""Who may depend on whom, read from the sources, and what must be neither loaded nor used."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted(
    p for p in (ROOT / "zoo").rglob("*.py") if "_recipes" not in p.parts and "_checkpoints" not in p.parts
)

# first matching line wins; a name stands for the module and what lies below it
MAY_IMPORT: list[tuple[str, set[str]]] = [
    ("zoo.models", {"adversarial", "guards", "losses", "features", "errors", "bounds", "references"}),
    ("zoo.references", {"references", "adversarial", "guards", "errors"}),
    ("zoo.data.sources", {"data.sources", "errors"}),
    ("zoo.data.worlds", {"data.worlds", "errors", "seeds"}),
    ("zoo.data", {"data", "features", "files", "drawing", "errors", "bounds", "seeds", "recipes"}),
    # checkpoints: a score beside another model's
    (
        "zoo.metrics",
        {"metrics", "features", "data", "files", "drawing", "errors", "seeds"}
        | {"adversarial", "guards", "checkpoints", "bounds"},
    ),
    (
        "zoo.callbacks",
        {"callbacks", "metrics", "data", "features", "files", "drawing", "losses", "errors", "seeds"}
        | {"adversarial", "guards", "bounds"},
    ),
    ("zoo.features", {"features", "files", "errors", "catalogue"}),  # text encoders by name
    ("zoo.files", {"files", "errors"}),
    ("zoo.drawing", {"drawing", "errors"}),
    ("zoo.losses", {"losses"}),
    ("zoo.errors", set()),
    ("zoo.interrupts", set()),
    ("zoo.seeds", set()),
    ("zoo.recipes", {"errors"}),
    ("zoo.catalogue", {"recipes", "weights", "files.schemas", "files.checkpoints", "errors"}),
    # training.online: whether Weights & Biases can be asked
    ("zoo.weights", {"recipes", "files", "errors", "training.online"}),
    (
        "zoo.use",
        {"use", "checkpoints", "data", "metrics", "files", "drawing", "errors", "bounds", "seeds"}
        | {"features.text"},  # sentences are encoded as in training
    ),
    (
        "zoo.training",
        {
            "training",
            "recipes",
            "catalogue",
            "checkpoints",
            "adversarial",
            "guards",
            "callbacks",
            "metrics",
            "data",
            "files",
            "errors",
            "bounds",
            "metrics.scoring.report",
        },
    ),
    ("zoo.guards", {"errors", "interrupts", "seeds", "recipes", "files.checkpoints", "files.writing"}),
    (
        "zoo.adversarial",
        {"guards", "losses", "files.weights", "catalogue", "recipes", "errors", "bounds"},  # init_from
    ),
    ("zoo.bounds", {"recipes", "files.schemas", "errors"}),
]
TORCH_AND_FRIENDS = {
    "tqdm",
    "rich",
    "filelock",
    "torch",
    "torchvision",
    "numpy",
    "PIL",
    "tifffile",
    "lightning",
    "imagecodecs",
    "safetensors",
}
BARE = (
    *("zoo.seeds", "zoo.losses", "zoo.drawing", "zoo.guards", "zoo.adversarial"),
    *("zoo.files.writing", "zoo.files.pictures", "zoo.files.checkpoints", "zoo.files.downloads"),
)
FULLEST = 24  # entries of a folder of the package, its __init__ aside


def module_of(path: Path) -> str:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


def imports(tree: ast.AST) -> Iterator[str]:
    """Full names of all that a tree imports; ``from zoo import files`` gives ``zoo.files``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            assert node.module is not None
            yield from (
                (f"zoo.{alias.name}" for alias in node.names) if node.module == "zoo" else [node.module]
            )


def below(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def test_there_is_something_to_check() -> None:
    names = {module_of(path) for path in FILES}
    assert {
        "zoo.models.gan",
        "zoo.models.pix2pix",
        "zoo.data.base",
        "zoo.guards",
        "zoo.files.writing",
    } <= names


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_imports_obey_the_table(path: Path) -> None:
    name = module_of(path)
    allowed = next((may for package, may in MAY_IMPORT if below(name, package)), None)
    for imported in imports(tree_of(path)):
        assert not below(imported, "pytorch_lightning"), (
            "import lightning.pytorch: the two classes of one name differ"
        )
        if allowed is None:
            continue
        if below(imported, "zoo"):
            assert any(below(imported, f"zoo.{part}") for part in allowed), (
                f"{name} may not import {imported}"
            )
        elif any(below(name, bare) for bare in BARE):
            top = imported.split(".")[0]
            assert top in sys.stdlib_module_names | TORCH_AND_FRIENDS, f"{name} may not import {imported}"


def test_no_folder_is_too_full() -> None:
    for folder in {path.parent for path in FILES}:
        entries = [p.name for p in folder.iterdir() if not p.name.startswith("_")]
        assert len(entries) <= FULLEST, f"{folder} holds {len(entries)} entries: {sorted(entries)}"


def imported_files(path: Path, known: set[str]) -> set[str]:
    """The modules of the zoo that a file imports, wherever the import stands, late ones included."""
    found = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in known else node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & known - {module_of(path)}


def test_no_modules_import_each_other_in_a_circle() -> None:
    known = {module_of(path) for path in FILES}
    arrows = {module_of(path): imported_files(path, known) for path in FILES}
    while leaves := {name for name, targets in arrows.items() if not targets}:
        arrows = {name: targets - leaves for name, targets in arrows.items() if name not in leaves}
    assert not arrows, f"these import each other or something that does: {sorted(arrows)}"


@pytest.mark.parametrize(
    "path", [p for p in FILES if p.parent.name == "models" and p.stem != "__init__"], ids=module_of
)
def test_no_paper_derives_from_another(path: Path) -> None:
    assert not [name for name in imports(tree_of(path)) if below(name, "zoo.models")]


FORMULAS, SCORING = "zoo.metrics.formulas", "zoo.metrics.scoring"


@pytest.mark.parametrize("path", [p for p in FILES if below(module_of(p), FORMULAS)], ids=module_of)
def test_formulas_are_functions_on_tensors(path: Path) -> None:
    for imported in imports(tree_of(path)):
        light = imported.split(".")[0] in sys.stdlib_module_names | {"torch", "numpy", "scipy"}
        assert light or any(below(imported, name) for name in (FORMULAS, "zoo.errors", "zoo.files")), (
            f"{module_of(path)} may not import {imported}"
        )


@pytest.mark.parametrize("path", [p for p in FILES if p.parent.name == "metrics"], ids=module_of)
def test_evaluators_do_not_import_one_another(path: Path) -> None:
    for imported in imports(tree_of(path)):
        shared = any(below(imported, name) for name in (FORMULAS, SCORING, "zoo.metrics.evaluator"))
        assert shared or not below(imported, "zoo.metrics"), f"{module_of(path)} may not import {imported}"


@pytest.mark.parametrize("path", [p for p in FILES if below(module_of(p), SCORING)], ids=module_of)
def test_scoring_needs_no_evaluator(path: Path) -> None:
    for imported in imports(tree_of(path)):
        inside = not below(imported, "zoo.metrics") or below(imported, FORMULAS) or below(imported, SCORING)
        assert inside, f"{module_of(path)} may not import {imported}"


LATE = [p for p in FILES if any(below(module_of(p), name) for name in ("zoo.commands", "zoo.use"))]


@pytest.mark.parametrize("path", LATE, ids=module_of)
def test_commands_import_late(path: Path) -> None:
    for node in tree_of(path).body:
        for imported in imports(node) if isinstance(node, ast.Import | ast.ImportFrom) else ():
            light = imported.split(".")[0] in sys.stdlib_module_names or imported in (
                "zoo.errors",
                "zoo.bounds",
                "zoo.recipes",
                "zoo.catalogue",  # sources as text
                "zoo.data.sources",  # facts only
                "zoo.data.contracts",
                "zoo.files.writing",  # the standard library only
                "zoo.files.schemas",
            )
            assert light or below(imported, "zoo.commands") or below(imported, "zoo.use"), (
                f"import {imported} inside the function that needs it"
            )


@pytest.mark.parametrize("path", [p for p in LATE if "commands" in module_of(p)], ids=module_of)
def test_verbs_do_not_import_verbs(path: Path) -> None:
    verb = ".".join(module_of(path).split(".")[:3])  # a package of actions is one verb
    for imported in imports(tree_of(path)):
        if below(imported, "zoo.commands") and imported != "zoo.commands":
            assert imported.startswith("zoo.commands._") or below(imported, verb)


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_nothing_unsafe_is_used(path: Path) -> None:
    tree = tree_of(path)
    assert not {"pickle", "dill", "cloudpickle", "joblib"} & {name.split(".")[0] for name in imports(tree)}
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg in ("weights_only", "shell"):
            wanted = node.arg == "weights_only"
            assert not isinstance(node.value, ast.Constant) or node.value.value is wanted, (
                f"line {node.value.lineno}"
            )
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in ("yaml.load", "eval", "exec", "os.system", "hasattr"), (
                f"{called} in line {node.lineno}"
            )
            if called == "torch.load":
                assert any(k.arg == "weights_only" for k in node.keywords), (
                    f"torch.load in line {node.lineno}"
                )


HEAVY = ("torch", "lightning", "pytorch_lightning", "torchvision", "numpy", "wandb", "jsonargparse")


def _loaded(code: str) -> set[str]:
    report = "import sys, json; print('\\n' + json.dumps(sorted(sys.modules)), file=sys.stderr)"
    script = f"import atexit\ndef report():\n    {report}\natexit.register(report)\n{code}"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return set(json.loads(done.stderr.strip().splitlines()[-1]))


@pytest.mark.parametrize(
    "words",
    [
        None,
        *(["--help"], ["list"], ["list", "recipes"], ["list", "models"], ["data", "list"]),
        *(["verify", "gan-digits"], ["download", "gan-digits"]),
        *(["fit", "--config", "gan/digits", "--help"], ["completion", "words", "--", "fit", "--config", ""]),
    ],
)
def test_light_commands_load_nothing_heavy(words: list[str] | None) -> None:
    code = "import zoo"
    if words is not None:
        code = f"import sys\nsys.argv = ['zoo', *{words}]\nfrom zoo.cli import main\nsys.exit(main())"
    loaded = _loaded(code)
    assert "zoo" in loaded
    assert not loaded & set(HEAVY)


def test_the_probe_sees_a_heavy_import() -> None:
    assert "numpy" in _loaded("import numpy")
