"""What the zoo holds: models, data modules, recipes and weights, and the arguments of any class.

Sources are read with ``ast`` and never imported, so that ``zoo list`` and ``zoo show`` answer at once and a
misspelt name is refused before torch is loaded.
"""

from __future__ import annotations

import ast
import builtins
import difflib
import functools
import importlib.util
import os
import pkgutil
import re
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, NamedTuple

from zoo import recipes
from zoo.errors import UsageError, UserError, nearest
from zoo.files.schemas import ADDRESSES, FOREIGN, INDEX, MODEL, is_address, read_json, require

ROOTS = ("AdversarialModule", "GuardedModule", "DataModule")  # bases of what a recipe names
# a class statement at the left margin with its body: name, bases
CLASS = re.compile(
    r"^class (\w+)(?:\(((?:[^()]|\([^()]*\))*)\))?:[^\n]*\n(?:[ \t][^\n]*\n|\n)*", re.MULTILINE
)
INDEX_FORMAT = 2
Entry = dict[str, Any]


class Source:
    """A module's source text; only the parts that are asked for are parsed."""

    def __init__(self, module: str, path: Path) -> None:
        self.module, self.path = module, path
        self.text = path.read_text(encoding="utf-8") + "\n"
        self.classes = {match[1]: Definition(self, match) for match in CLASS.finditer(self.text)}

    @functools.cached_property
    def head(self) -> ast.Module:
        """What stands before the first class or function: docstring, imports, constants."""
        return self.parse(re.split(r"(?m)^(?:@|class |def |async )", self.text, maxsplit=1)[0])

    def parse(self, part: str) -> ast.Module:
        """The syntax tree of a part; of the whole module if a string made the part end too early."""
        try:
            return ast.parse(part)
        except SyntaxError:
            return ast.parse(self.text)

    @functools.cached_property
    def imported(self) -> dict[str, str]:
        """The import path behind each name that the head imports."""
        found: dict[str, str] = {}
        package = self.module.split(".") if self.path.name == "__init__.py" else self.module.split(".")[:-1]
        for node in self.head.body:
            if isinstance(node, ast.ImportFrom):
                above = package[: len(package) - node.level + 1] if node.level else []
                source = ".".join([*above, *([node.module] if node.module else [])])
                found |= {alias.asname or alias.name: f"{source}.{alias.name}" for alias in node.names}
            elif isinstance(node, ast.Import):
                found |= {alias.asname or alias.name: alias.name for alias in node.names}
        return found

    def find(self, name: str) -> Definition | None:
        """The class that a name here (``GAN``, ``gan.GAN``) stands for, imports followed."""
        if name in self.classes:
            return self.classes[name]
        head, _, rest = name.partition(".")
        return find_class(f"{self.imported[head]}.{rest}".rstrip(".")) if head in self.imported else None


class Definition:
    """A class statement in a module's source."""

    def __init__(self, source: Source, match: re.Match[str]) -> None:
        self.source, self.match, self.name = source, match, match[1]

    @functools.cached_property
    def node(self) -> ast.ClassDef:
        """Its syntax tree."""
        body = self.source.parse(self.match[0]).body
        return next(n for n in body if isinstance(n, ast.ClassDef) and n.name == self.name)

    @property
    def init(self) -> ast.FunctionDef | None:
        """Its own constructor."""
        made = [n for n in self.node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
        return made[-1] if made else None  # overloads stand before

    @functools.cached_property
    def bases(self) -> list[str]:
        """Names of its base classes as they stand there, without keywords and type arguments."""
        (node,) = ast.parse(f"class _({self.match[2] or ''}): ...").body
        assert isinstance(node, ast.ClassDef)
        return [ast.unparse(b.value if isinstance(b, ast.Subscript) else b) for b in node.bases]

    @property
    def is_decorated(self) -> bool:
        """Whether a decorator may have given it a constructor."""
        before = self.source.text[: self.match.start()].rstrip("\n").rpartition("\n")[2]
        return before.startswith(("@", ")"))

    def derives(self) -> bool:
        """Whether it is a model or a data module, as far as the zoo's own sources say."""
        for base in self.bases:
            if base.rpartition(".")[2] in ROOTS:
                return True
            above = self.source.imported.get(base, "zoo.")
            if above.startswith("zoo.") and (found := self.source.find(base)) and found.derives():
                return True
        return False


@functools.cache
def find_source(module: str) -> Source | None:
    """The source of a module, found without importing it; None if it has none that can be found so."""
    try:
        spec = importlib.util.find_spec(module.partition(".")[0])
        for depth, _ in enumerate(module.split(".")[1:], start=2):
            if spec is None:
                return None
            package = sys.modules.get(spec.name)
            inside = spec.submodule_search_locations if package is None else package.__path__
            spec = PathFinder.find_spec(".".join(module.split(".")[:depth]), inside)
    except (AttributeError, ImportError, KeyError, ValueError):  # a namespace, a built-in, an odd loader
        return None
    origin = None if spec is None else spec.origin
    return Source(module, Path(origin)) if origin is not None and origin.endswith(".py") else None


def find_class(class_path: str) -> Definition | None:
    """The class of an import path, re-exports followed; None if its source cannot be found."""
    module, _, name = class_path.rpartition(".")
    source = find_source(module) if module else None
    return source.find(name) if source else None


def parameters(class_path: str) -> dict[str, str] | None:
    """A class's arguments with their annotations, those it hands on too; None if the source hides any."""
    try:
        return _parameters(find_class(class_path))
    except LookupError:
        return None


def _parameters(of: Definition | None) -> dict[str, str]:
    if of is None or (of.init is None and of.is_decorated):
        raise LookupError
    own: dict[str, str] = {}
    if init := of.init:
        own = {argument.name: argument.annotation for argument in arguments(init)}
        if init.args.kwarg is None:
            return own
        annotation = init.args.kwarg.annotation
        if isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value).endswith("Unpack"):
            return _fields(of.source.find(ast.unparse(annotation.slice))) | own
        if not of.bases:  # takes any keyword, and the source does not say which are used
            raise LookupError
    for base in of.bases:
        if base not in vars(builtins):
            own = _parameters(of.source.find(base)) | own
    return own


def _fields(of: Definition | None) -> dict[str, str]:
    """Keys and annotations of a TypedDict, those of its bases included."""
    if of is None:
        raise LookupError
    own = {
        line.target.id: ast.unparse(line.annotation)
        for line in of.node.body
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)
    }
    for base in of.bases:
        if not base.endswith("TypedDict"):
            own = _fields(of.source.find(base)) | own
    return own


def _find_here(class_path: str) -> None:
    """Let modules of the current folder be imported if a class path names one that is not installed.

    Never otherwise: libraries try optional imports, which any folder could answer.
    """
    top = class_path.partition(".")[0]
    if not top.isidentifier() or len(top) > 200:
        return
    here = Path(f"{top}.py").is_file() or Path(top, "__init__.py").is_file()
    if here and "" not in sys.path and top not in sys.modules and importlib.util.find_spec(top) is None:
        sys.path.append("")


def require_class(class_path: str) -> None:
    """Refuse an import path that cannot name a class; what sources do not decide is accepted.

    Raises:
        UserError: There is no such module, or nothing of this name in it; suggests the nearest name.
    """
    module, _, name = class_path.rpartition(".")
    top = module.partition(".")[0]
    _find_here(class_path)
    if not module:
        paths = {path.rpartition(".")[2]: path for path in (*classes("models"), *classes("data"))}
        near = difflib.get_close_matches(class_path, paths, 1)
        hint = f"did you mean {paths[near[0]]}?" if near else "it must be full, like zoo.models.gan.GAN."
        raise UserError(f"{class_path} is no import path of a class; {hint}")
    source = find_source(module)
    if source is None:
        if top == "zoo" or (top not in sys.modules and importlib.util.find_spec(top) is None):
            hint = nearest(class_path, (*classes("models"), *classes("data")), "check the path.", 0.7)
            raise UserError(f"{class_path} cannot be imported: there is no module {module}; {hint}")
    elif not re.search(rf"\b({name}|__getattr__|globals)\b|import \*", source.text):
        hint = nearest(name, (*source.classes, *source.imported), "check the name.")
        raise UserError(f"{class_path} does not exist: {module} has no class {name}; {hint}")


def import_class(class_path: str) -> type:
    """Import the class of an import path.

    Raises:
        UserError: There is no such module or class; suggests the nearest name.
    """
    module, _, name = class_path.rpartition(".")
    _find_here(class_path)
    try:
        found = importlib.import_module(module)
    except (ImportError, ValueError) as error:
        raise UserError(f"{class_path} cannot be imported ({error}).") from error
    cls = vars(found).get(name)
    if not isinstance(cls, type):
        raise UserError(f"{module} has no class {name}; {nearest(name, vars(found), 'check the name.')}")
    return cls


class Argument(NamedTuple):
    """An argument of a function; a default of ``""`` means that it is required."""

    name: str
    annotation: str
    default: str


def arguments(function: ast.FunctionDef) -> list[Argument]:
    """Each argument of a function but ``self``, as its source says it."""
    positional = function.args.posonlyargs + function.args.args
    missing: list[ast.expr | None] = [None] * (len(positional) - len(function.args.defaults))
    pairs = list(zip(positional, missing + list(function.args.defaults), strict=True))
    pairs += zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
    return [
        Argument(
            a.arg, ast.unparse(a.annotation) if a.annotation else "", ast.unparse(default) if default else ""
        )
        for a, default in pairs
        if a.arg != "self"
    ]


def option_texts(class_path: str) -> dict[str, str]:
    """What is said of each option that a class passes on to its base (``**options: Unpack[GameOptions]``)."""
    found = find_class(class_path)
    kwarg = found.init.args.kwarg if found and found.init else None
    if found is None or kwarg is None or not isinstance(kwarg.annotation, ast.Subscript):
        return {}
    options = found.source.find(ast.unparse(kwarg.annotation.slice))
    texts = argument_texts(ast.get_docstring(options.node) or "", "Attributes") if options else {}
    return {name: texts.get(name, "") for name in (_fields(options) if options else {})}


def argument_texts(docstring: str, section: str = "Args") -> dict[str, str]:
    """What a section of a docstring says of each argument, in one line each."""
    texts: dict[str, str] = {}
    current = ""
    for line in docstring.partition(f"{section}:\n")[2].splitlines():
        depth = len(line) - len(line.lstrip())
        if not line.strip() or depth == 0:
            break
        if depth == 4:
            current, _, text = line.strip().partition(": ")
            texts[current] = text
        else:
            texts[current] += " " + line.strip()
    return texts


@functools.cache
def classes(folder: str) -> dict[str, Definition]:
    """Import path and definition of each class of ``zoo/models`` or ``zoo/data`` that a recipe can name.

    A public class stands in a module of the folder, or is re-exported by the ``__init__`` of a package there.
    By the house's names, what ends in ``Module`` is there to be derived from.
    """
    found: dict[str, Definition] = {}
    places = importlib.import_module(f"zoo.{folder}").__path__  # these two packages hold a docstring alone
    for info in sorted(pkgutil.iter_modules(places), key=lambda info: info.name):
        source = find_source(f"zoo.{folder}.{info.name}")
        if source is None or info.name.startswith("_"):
            continue
        for name in (*source.classes, *(source.imported if info.ispkg else ())):
            if name[0] != "_" and not name.endswith("Module"):
                definition = source.find(name)
                if definition and definition not in found.values() and definition.derives():
                    found[f"{source.module}.{name}"] = definition
    return found


def models() -> list[Entry]:
    """Every class of ``zoo/models`` that a recipe can name, with the first line of its paper's file."""
    return [_entry(path, found) for path, found in classes("models").items()]


def data() -> list[Entry]:
    """Every data module of ``zoo/data``; ``research_only`` is what its source says by default."""
    return [
        _entry(path, found) | {"research_only": research_only(found), "contract": contract(found)}
        for path, found in classes("data").items()
    ]


def _entry(path: str, found: Definition) -> Entry:
    _, _, module, name = path.split(".")
    title = first_line(found.node) or first_line(found.source.head)
    return {"name": name, "title": title.replace("``", ""), "module": module}


def research_only(of: Definition) -> bool | None:
    """What the source says of ``research_only`` (attribute, constant, default); None if it depends."""
    own, overrides = _constant(of.node, "research_only"), False
    if own is not None:
        return bool(own)
    for child in ast.walk(of.node):
        if isinstance(child, ast.Dict):
            for key, value in zip(child.keys, child.values, strict=True):
                if key and ast.unparse(key) == "'research_only'" and isinstance(value, ast.Constant):
                    return bool(value.value)
        if isinstance(child, ast.FunctionDef):
            for argument in arguments(child):
                if argument.name == "research_only":
                    return {"True": True, "False": False}.get(argument.default)
            overrides |= child.name == "describe" and "super().describe()" not in ast.unparse(child)
    if overrides:
        return None
    above = (found for base in of.bases if (found := of.source.find(base)))
    return next((said for found in above if (said := research_only(found)) is not None), None)


def contract(of: Definition) -> str:
    """The batch contract of a data module: its own or a base's class attribute."""
    above = (found for base in of.bases if base != "DataModule" and (found := of.source.find(base)))
    return _constant(of.node, "contract") or next((said for found in above if (said := contract(found))), "")


def _constant(node: ast.ClassDef, name: str) -> Any:
    """The constant that a class attribute is set to; None if it is not set, or not to a constant."""
    for line in node.body:
        targets = [line.target] if isinstance(line, ast.AnnAssign) else getattr(line, "targets", [])
        value = getattr(line, "value", None)
        if isinstance(value, ast.Constant) and any(ast.unparse(target) == name for target in targets):
            return value.value
    return None


def describe(class_path: str) -> Entry:
    """What the sources say of a class of ``zoo/models`` or ``zoo/data``: its docstrings and arguments."""
    found = find_class(class_path)
    assert found is not None
    _, folder, module, name = class_path.split(".")
    texts = argument_texts(ast.get_docstring(found.node) or "")
    card = recipes.PACKAGE.parent / "docs" / "cards" / f"{module}.md"
    return {
        "name": name,
        "class_path": class_path,
        "doc": ast.get_docstring(found.source.head) or "",
        "summary": (ast.get_docstring(found.node) or "").partition("\n\n")[0],
        "arguments": [
            {"name": a.name, "type": a.annotation, "default": a.default, "help": texts.get(a.name, "")}
            for a in (arguments(found.init) if found.init else [])
        ],
        "card": str(card) if folder == "models" and card.is_file() else None,
    }


def first_line(node: ast.Module | ast.ClassDef) -> str:
    """The first line of a docstring, or nothing."""
    return (ast.get_docstring(node) or "").partition("\n")[0]


def recipe_entries() -> list[Entry]:
    """Every bundled recipe, with the first sentence of its head comment."""
    return [
        {
            "name": recipe.name,
            "title": " ".join(recipe.head.split()).partition(". ")[0].rstrip("."),
            "path": str(recipe.path),
            "research_only": _recipe_is_restricted(recipe.path),
        }
        for recipe in recipes.all_recipes()
    ]


def _recipe_is_restricted(path: Path) -> bool | None:
    try:
        block = (recipes.read(path) or {})["data"]
        stated = block.get("init_args", {}).get("research_only")
        found = find_class(block["class_path"])
    except (UsageError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is not a recipe that can be read; correct or remove it.") from error
    if stated is not None:
        return bool(stated)
    return research_only(found) if found else None


def checkpoints() -> list[Entry]:
    """Entries of ``checkpoints/index.json``: name, folder, files, sources, title, recipe, licence, …

    Raises:
        UserError: The index is not what the zoo writes, or of a newer format.
    """
    path = recipes.bundled("checkpoints") / "index.json"
    if not path.is_file():
        return []
    return list(read_json(path, INDEX, INDEX_FORMAT)["entries"])


def foreign() -> list[Entry]:
    """Weights that others published for networks of the zoo, as ``references/<paper>.yaml`` lists them.

    They are used after ``zoo convert``. ``paper`` is what its ``--as`` takes; their terms are unknown.

    Raises:
        UserError: A list is damaged.
    """
    found = []
    for path in sorted((recipes.PACKAGE / "references").glob("*.yaml")):
        for name, facts in (recipes.read(path) or {}).items():
            require(facts, FOREIGN, path, name)
            found.append({"name": name, "paper": path.stem, **facts, "research_only": None})
    return found


def is_about(entry: Entry, task: str) -> bool:
    """Whether weights are of a paper (``pix2pix``), or of an application that these words name."""
    return task == entry.get("paper") or task.lower() in str(entry.get("task", "")).lower()


def is_exported(name: str) -> bool:
    """Whether a name means exported weights: of the index, an address, or a folder by ``zoo export``."""
    named = is_address(name) or any(entry["name"] == name for entry in checkpoints())
    return named or (Path(name).expanduser() / "model.json").is_file()


def recipe_in(config: Entry) -> str | None:
    """The recipe in the command that trained weights, as their ``model.json`` says; None if there is none."""
    found = re.search(r"--config[ =](?:recipes/)?(\S+?)(?:\.yaml)?(?:\s|$)", config.get("command") or "")
    return found and found[1]


def recipe_of(name: str) -> str:
    """The recipe of the zoo that trained exported weights.

    Raises:
        UsageError: They name none.
        UserError: They cannot be found or downloaded.
    """
    entry = find_weights(name)
    recipe = entry["recipe"] if entry else recipe_in(read_json(stored(name)[0] / "model.json", MODEL))
    if recipe not in [known.name for known in recipes.all_recipes()]:
        raise UsageError(f"{name} names no recipe of the zoo; give one: --config RECIPE --ckpt_path {name}.")
    return str(recipe)


def input_of(config: Entry) -> str:
    """What weights take, in words, by their ``model.json``."""
    hparams, data = config["hyper_parameters"], config["data"].get("preprocessing") or {}
    channels = hparams.get("in_channels")
    size = data.get("size")
    sides = [size, size] if type(size) is int else size if isinstance(size, list) else []
    trained = f"trained at {sides[1]}x{sides[0]}" if len(sides) == 2 else ""
    if config.get("takes") != "picture":
        parts = [str(config.get("takes", "nothing"))]
    elif data.get("source") == "labels":
        parts = ["label map", f"{channels} classes", trained]
    elif hparams.get("scale"):
        parts = [f"picture, enlarged {hparams['scale']} times"]
    else:
        parts = ["picture", f"{channels} channels", trained]
    return ", ".join(filter(None, parts))


def main_result(config: Entry) -> str:
    """The score that says most of weights: the kernel distance if there is one, else the first."""
    scores = [row for row in config.get("results", []) if row["subject"] == "generated"]
    best = next((row for row in scores if row["metric"].startswith("kid")), scores[0] if scores else None)
    return f"{best['metric']} {best['value']:.3g}" if best else ""


def folder_of(name: str) -> Path:
    """The folder whose ``model.json`` describes a name; weights of an address are downloaded for it."""
    from zoo.weights import find  # not needed for lists

    if is_address(name):
        return stored(name)[0]
    found = find(name, {entry["name"]: entry for entry in checkpoints()}.get(name), ask=False)
    return found.folder if found.here or found.bundled is None else found.bundled


class Kinds(NamedTuple):
    """What a model takes and gives, as its source says, and whether an input comes with its weights."""

    takes: str = ""
    gives: str = ""
    has_example: bool = False


def kinds_of(name: str) -> Kinds | None:
    """What weights of the index, an exported folder or a run take and give; None if it is not known."""
    folder, has_example = folder_of(name), False
    if (folder / "model.json").is_file():
        config = read_json(folder / "model.json", MODEL)
        class_path, has_example = config["class"], "example" in config
    elif is_run(folder):
        class_path = str(((recipes.read(folder / "config.yaml") or {}).get("model") or {}).get("class_path"))
    else:
        return None
    found = find_class(class_path)
    said = [_constant(found.node, key) or "" for key in ("takes", "gives")] if found else []
    return Kinds(said[0], said[1], has_example) if said else None


def is_run(folder: Path) -> bool:
    """Whether a folder is that of a run: its config beside its checkpoints."""
    return os.path.isfile(folder / "config.yaml") and os.path.isdir(folder / "checkpoints")


def find_weights(name: str) -> Entry | None:
    """The entry of the index that has this name; None if there is none, but an address, a file or a folder.

    Raises:
        UsageError: There are no such weights, or they must be converted; suggests a name or a command.
    """
    entries = {entry["name"]: entry for entry in checkpoints()}
    if name in entries or is_address(name) or os.path.exists(os.path.expanduser(name)):
        return entries.get(name)
    if "://" in name:
        raise UsageError(f"{name} is no address of weights; write {ADDRESSES}.")
    others = [entry["name"] for entry in foreign()]
    if name in others:
        raise UsageError(f"{name} are weights of others, to be converted; `zoo download {name}` says how.")
    hint = nearest(name, [*entries, *others], "`zoo list checkpoints` names all, or give a path.")
    raise UsageError(f"There are no weights {name}; {hint}")


def stored(name: str) -> tuple[Path, str | None]:
    """Where stored weights lie, and their sha256 by the index.

    Args:
        name: A name of the index or an address, which are downloaded if they are not on this machine
            (:mod:`zoo.weights`); an exported folder, a file in it, a training checkpoint, or a run folder.

    Raises:
        UserError: It is none of these, or cannot be downloaded; suggests the nearest name.
    """
    path = Path(os.path.expanduser(name))
    if path.name in ("model.safetensors", "model.json") and os.path.isfile(path):
        path = path.parent
    if os.path.isfile(path / "model.json") or os.path.isfile(path):
        return path, None
    if os.path.isdir(path / "checkpoints"):
        from zoo.files.checkpoints import newest_checkpoint

        if newest := newest_checkpoint(path.resolve().parent, path.resolve().name):
            return newest, None
        raise UserError(f"The run {path} has no valid checkpoint yet; continue it with zoo resume {path}.")
    if (entry := find_weights(name)) or is_address(name):
        from zoo.weights import local  # not needed for lists

        found = local(name, entry)
        return found.folder, found.digest
    holds = f"The folder {path} holds no model.json" if path.is_dir() else f"{path} is no file"
    raise UserError(f"{holds}; give a folder that `zoo export` wrote, or a .ckpt file.")
