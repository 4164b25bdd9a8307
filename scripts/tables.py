"""Write the index of the weights, and the tables of the documents between their markers (``make tables``).

checkpoints/index.json: an entry per folder there. README.md: the applications, the weights and their scores.
docs/cards: the weights of each paper, their scores, and the commands that measure these. docs/gallery.md: the
cards' sections "Pictures". docs/data: the public data sets, per contract.

``make tables MEASURE="NAME ..."`` runs those commands first and replaces the results in each ``model.json``.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from zoo.catalogue import INDEX_FORMAT, input_of, main_result, recipe_in
from zoo.drawing.tables import markdown, number, protocol
from zoo.errors import UserError
from zoo.files.schemas import FLAG, MODEL, MODEL_FORMAT, TEXT, Kind, read_json
from zoo.files.writing import sha256

ROOT = Path(__file__).parents[1]
PAPER = Kind(
    "zoo.models.PAPER.CLASS", lambda value: re.fullmatch(r"zoo\.models\.\w+\.\w+", str(value)) is not None
)
PUBLISHED = {**MODEL, "class": PAPER, "name": TEXT, "research_only": FLAG, "licence": {"weights": TEXT}}
APPLICATIONS_BEGIN, APPLICATIONS_END = (
    "<!-- applications: written by make tables -->",
    "<!-- end of applications -->",
)
WEIGHTS_BEGIN, WEIGHTS_END = "<!-- weights: written by make tables -->", "<!-- end of weights -->"
BEGIN, END = "<!-- results: written by make tables -->", "<!-- end of results -->"
SETS_BEGIN, SETS_END = "<!-- sets: written by make tables -->", "<!-- end of sets -->"
GALLERY_BEGIN, GALLERY_END = "<!-- gallery: written by make tables -->", "<!-- end of gallery -->"
COLOURS = ("red", "green", "blue", "grey")
ARTEFACTS = {  # columns of their table: unit, and the scores in a cell
    "grid-2": ("dB", ("grid-2",)),
    "grid-4": ("dB", ("grid-4",)),
    "static-patch": ("", ("static-patch",)),
    "colour": ("levels", tuple(f"colour-{colour}" for colour in COLOURS)),
    "flat-grid": ("levels", ("flat-grid",)),
    "diversity": ("levels", ("diversity",)),
}


def published() -> dict[str, dict[str, Any]]:
    """What ``model.json`` says of each folder of weights, by the folder's name."""
    paths = sorted((ROOT / "checkpoints").glob("*/model.json"))
    return {path.parent.name: read_json(path, PUBLISHED, MODEL_FORMAT) for path in paths}


def index() -> str:
    """The content of ``checkpoints/index.json``."""
    tasks = {path.stem: heading(path)[1] for path in cards()}
    entries = [
        {
            "name": config["name"],
            "folder": folder,
            "files": files(ROOT / "checkpoints" / folder, config["weights"]),
            "sources": config.get("sources", []),
            "title": config.get("title", config["name"]),
            "paper": config["class"].split(".")[2],
            "task": tasks.get(config["class"].split(".")[2], ""),
            "input": input_of(config),
            "result": main_result(config),
            "recipe": recipe_in(config),
            "licence": config["licence"]["weights"],
            "research_only": config["research_only"],
        }
        for folder, config in published().items()
    ]
    return json.dumps({"format": INDEX_FORMAT, "entries": entries}, indent=2) + "\n"


def files(folder: Path, weights: dict[str, Any]) -> list[dict[str, Any]]:
    """Name, size and SHA-256 of each file of a folder of weights; its weights may be kept elsewhere."""
    found = {"model.safetensors": {"bytes": weights["bytes"], "sha256": weights["sha256"]}}
    for path in sorted(path for path in folder.iterdir() if not path.name.startswith(".")):
        if path.name not in found:
            found[path.name] = {"bytes": path.stat().st_size, "sha256": sha256(path)}
    return [{"path": name, **facts} for name, facts in found.items()]


def cards() -> list[Path]:
    """The cards, one per module of ``zoo/models``."""
    return sorted((ROOT / "docs" / "cards").glob("*.md"))


def heading(card: Path) -> tuple[str, str]:
    """Name and application of a paper, as the first line of its card says them."""
    name, _, application = (
        card.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ").partition(": ")
    )
    return name, application


def applications() -> str:
    """A row per card: what its heading says, and the paper that its first lines name."""
    rows = []
    for path in cards():
        text, (name, application) = path.read_text(encoding="utf-8"), heading(path)
        paper = re.search(r"([A-Z][\w-]+)(?: et al\.| and [A-Z][\w-]+)? (\d{4}),", text.partition("\n## ")[0])
        file = f"zoo/models/{path.stem}.py"
        cited = f"{name} ({paper[1]} {paper[2]})" if paper else name
        rows.append((application, cited, f"[`{file}`]({file})", f"[card](docs/cards/{path.name})"))
    return markdown(("application", "paper", "file", "card"), rows)


def gallery() -> str:
    """Each card's section "Pictures" below the card's heading, with links that lead there."""
    parts = []
    for path in cards():
        section = (
            path.read_text(encoding="utf-8").partition("\n## Pictures\n")[2].partition("\n## ")[0].strip()
        )
        if section:
            name, application = heading(path)
            section = re.sub(r"\]\((?!https?:|#)", "](cards/", section)
            more = f"[The card](cards/{path.name}) says what is wrong with them."
            parts.append(f"## {name}: {application}\n\n{section}\n\n{more}")
    return "\n\n".join(parts)


def weights(paper: str | None = None) -> str:
    """A row per folder of weights, of all papers or of one."""
    rows = [
        (
            f"`{config['name']}`",
            config.get("title", config["name"]),
            f"`{recipe_in(config)}`" if recipe_in(config) else "",
            f"{config['weights']['bytes'] / 1e6:.1f} MB",
            config["licence"]["weights"],
        )
        for config in published().values()
        if paper in (None, config["class"].split(".")[2])
    ]
    return markdown(("weights", "what", "recipe", "size", "licence"), rows) if rows else "None are published."


def table(paper: str | None = None) -> str:
    """A row per score, beside that of real or bicubic images or of chance, and the paper's."""
    rows = []
    for config in published().values():
        if paper not in (None, config["class"].split(".")[2]):
            continue
        results = config.get("results", [])
        real = {row["metric"]: row for row in results if row["subject"] in ("real", "bicubic", "chance")}
        for row in results:
            if row["subject"] == "generated" and row["metric"] not in _artefact_scores():
                beside = real.get(row["metric"])
                cells = [config["name"], row["metric"], number(row), number(beside) if beside else ""]
                printed = row.get("paper") or ""
                if beside and beside["subject"] != "real":
                    cells[-1] += f" ({beside['subject']})"
                if beside and beside["subject"] == "bicubic":
                    printed += f" (bicubic {beside['paper']})" if beside.get("paper") else ""
                rows.append([*cells, printed, protocol(row) + (real_side(beside) if beside else "")])
    return markdown(("checkpoint", "metric", "ours", "beside", "paper", "protocol"), rows) if rows else ""


def _artefact_scores() -> list[str]:
    return [score for _, scores in ARTEFACTS.values() for score in scores]


def artefacts(page: str, paper: str | None = None) -> str:
    """Two rows per checkpoint: artefact scores of generated images, and the real set's own below them.

    Args:
        page: Path of the page that explains them, as the document links it.
        paper: Only the checkpoints of this paper.
    """
    lines = []
    for config in published().values():
        if paper not in (None, config["class"].split(".")[2]):
            continue
        found = {(row["metric"], row["subject"]): row for row in config.get("results", [])}
        rows = [row for (metric, _), row in found.items() if metric in _artefact_scores()]
        for subject in ("generated", "real") if rows else ():
            cells = (
                [config["name"], protocol(rows[0])] if subject == "generated" else ["", "the real set's own"]
            )
            for _, scores in ARTEFACTS.values():
                values = (found.get((score, subject)) for score in scores)
                cells.append(" / ".join(short(row) for row in values if row) or "-")
            lines.append(cells)
    if not lines:
        return ""
    units = (f"{name}, {unit}" if unit else name for name, (unit, _) in ARTEFACTS.items())
    head = (
        f"Artefacts ([what they are]({page}#artefacts)): grids and colours (red / green / blue) are over the "
        "real set's own, which stands below them."
    )
    return f"{head}\n\n{markdown(('checkpoint', 'images', *units), lines)}"


def short(row: dict[str, Any]) -> str:
    """A value to two digits after the point, one from 10 on, with its error."""
    value, error = float(row["value"]), row.get("error")
    digits = 1 if abs(value) >= 10 else 2
    text = f"{round(value, digits) + 0.0:.{digits}f}"  # adding 0.0 makes -0.00 0.00
    return text + (f" ± {float(error):.2g}" if error else "")


def measuring(config: dict[str, Any]) -> list[list[str]]:
    """The commands that give all results of weights: the recipe's evaluators, then scores by protocol."""
    results = config.get("results", [])
    scored = [row for row in results if "protocol" in row["protocol"]]
    found = [["test", config["name"]]] if len(scored) < len(results) else []
    if scored:
        names = dict.fromkeys(row["protocol"]["protocol"].partition("/")[0] for row in scored)
        floor = ["--floor"] if any("halvings" in row["protocol"] for row in scored) else []
        splits = {row["protocol"]["real"]["split"] for row in scored} - {"train", None}
        split = ["--split", *splits] if config["takes"] == "noise" else []  # of others test is the default
        found.append(["eval", config["name"], "--protocol", *names, *floor, *split * bool(splits)])
    return found


def commands(paper: str) -> str:
    """What measures the scores of a paper's weights again."""
    configs = [config for config in published().values() if config["class"].split(".")[2] == paper]
    lines = [" ".join(["zoo", *words]) for config in configs for words in measuring(config)]
    head = "Measured again by the following; real sets are looked up below `$ZOO_DATA`:"
    return "\n".join([head, "", "```", *lines, "```"]) if lines else ""


def measure(name: str) -> None:
    """Measure shipped weights again, and store the results in their ``model.json``."""
    from zoo.cli import main as zoo
    from zoo.files.schemas import ROWS
    from zoo.files.writing import write_text

    path = ROOT / "checkpoints" / name / "model.json"
    config = read_json(path, PUBLISHED, MODEL_FORMAT)
    rows: list[dict[str, Any]] = []
    for words in measuring(config):
        with tempfile.TemporaryDirectory() as folder:
            into = ["-o", folder] if words[0] == "eval" else ["--trainer.default_root_dir", folder]
            if zoo([*words, *into]):
                raise SystemExit(f"zoo {' '.join(words)} failed; {path} stays as it is.")
            (found,) = Path(folder).rglob("eval.json")
            new = read_json(found, ROWS)
        metrics = {row["metric"] for row in new}  # a score by protocol replaces the recipe's of that name
        rows = [row for row in rows if row["metric"] not in metrics] + new
    write_text(path, json.dumps(config | {"results": rows}, indent=2) + "\n")


def real_side(row: dict[str, Any]) -> str:
    """How a row of real images was measured, if not as that of generated ones."""
    stated = row["protocol"]
    if "halvings" in stated:
        return f"; real: {stated['halvings']} halvings of {stated['real']['count']}"
    return f"; real: {stated['of']}" if "of" in stated else ""


def sets(contract: str) -> str:
    """A row per public data set of a contract: its terms, how to download it and how to read it."""
    from zoo.data.sources import SOURCES, terms
    from zoo.files.downloads import readable

    head = ("name", "what", "how much", "licence", "terms", "download", "reader")
    rows = []
    for source in SOURCES.values():
        if source.contract == contract:
            ways = ["`zoo data get`"] * bool(source.files) + ["by hand"] * bool(source.by_hand)
            size = f", {readable(source.size_bytes)}" if source.size_bytes and source.files else ""
            given = {
                key: value for key, value in source.init_args.items() if (key, value) != ("root", "{root}")
            }
            reader = [source.reader.removeprefix("zoo.data."), *(f"{k}: {v}" for k, v in given.items())]
            rows.append(
                (
                    f"[{source.name}]({source.licence_url})",
                    source.title,
                    source.count,
                    source.licence,
                    terms(source),
                    " and ".join(ways) + size,
                    ", ".join(f"`{word}`" for word in reader if word),
                )
            )
    return markdown(head, rows)


def overview() -> str:
    """A row per contract with the names of its public sets, by what their terms allow."""
    from zoo.data.sources import SOURCES, contracts

    head = ("contract", "commercial use too", "research only")
    rows = []
    for contract in contracts():
        names: dict[bool, list[str]] = {False: [], True: []}
        for source in SOURCES.values():
            if source.contract == contract:
                names[source.research_only].append(f"`{source.name}`")
        rows.append((f"[{contract}]({page(contract).name}#public-sets)", *map(", ".join, names.values())))
    return markdown(head, rows)


def page(contract: str) -> Path:
    """The document of a contract."""
    return ROOT / "docs" / "data" / f"{contract.replace(' ', '-')}.md"


def replace(path: Path, *parts: tuple[str, str, str]) -> str:
    """The text of a document with each table between its two markers.

    Args:
        path: The document.
        parts: Marker before a table, marker after it, and the table.
    """
    text = path.read_text(encoding="utf-8")
    for begin, end, content in parts:
        if text.count(begin) != 1 or end not in text.partition(begin)[2]:
            raise SystemExit(
                f"{path} needs the line {begin} and, below it, {end}; add them where the table belongs."
            )
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}\n{content}\n{end}{rest.partition(end)[2]}"
    return text


def documents() -> dict[Path, str]:
    """The index, and every document that has a table, as they should be."""
    from zoo.data.sources import contracts

    readme, data = ROOT / "README.md", ROOT / "docs" / "data" / "README.md"
    results = "\n\n".join([table(), artefacts("docs/metrics/README.md")])
    pictures = ROOT / "docs" / "gallery.md"
    listed = (APPLICATIONS_BEGIN, APPLICATIONS_END, applications())
    found = {
        ROOT / "checkpoints" / "index.json": index(),
        readme: replace(readme, listed, (WEIGHTS_BEGIN, WEIGHTS_END, weights()), (BEGIN, END, results)),
        pictures: replace(pictures, (GALLERY_BEGIN, GALLERY_END, gallery())),
        data: replace(data, (SETS_BEGIN, SETS_END, overview())),
    }
    for path in cards():
        traces = artefacts("../metrics/README.md", path.stem)
        parts = (weights(path.stem), table(path.stem), traces, commands(path.stem))
        content = "\n\n".join(part for part in parts if part)
        found[path] = replace(path, (WEIGHTS_BEGIN, WEIGHTS_END, content))
    for contract in contracts():
        found[page(contract)] = replace(page(contract), (SETS_BEGIN, SETS_END, sets(contract)))
    return found


def main() -> None:
    """Measure the weights that are named, then write all tables."""
    try:
        for name in sys.argv[1:]:
            measure(name)
        found = documents()
    except UserError as error:
        raise SystemExit(str(error)) from error
    for path, text in found.items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
