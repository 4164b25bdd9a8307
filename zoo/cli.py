"""The ``zoo`` command: Lightning's verbs run recipes, the others are files in ``zoo/commands``.

Verbs that need neither torch nor lightning are dispatched before anything heavy is imported.
"""

from __future__ import annotations

import argparse
import ast
import errno
import importlib
import os
import re
import sys
import traceback
from collections.abc import Iterable, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any, NoReturn

from zoo import __version__, interrupts
from zoo.errors import UsageError, UserError, nearest, printable

TRAINER_VERBS = {
    "fit": "Train a recipe.",
    "resume": "Continue a run where it ended.",
    "validate": "Run a recipe's validation on a checkpoint.",
    "test": "Run a recipe's evaluation on a checkpoint and print the numbers beside the paper's.",
    "predict": "Write the generator's pictures for a recipe's test split.",
}


class Parser(argparse.ArgumentParser):
    """Answers a mistake with one sentence and a suggestion instead of the whole usage."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse; an option that is misspelt or shortened is refused before one that is missing."""
        if self._subparsers is None:
            known = self._option_string_actions
            for word in takewhile(lambda word: word != "--", args):
                option = word.partition("=")[0]
                if word.startswith("--") and " " not in word and option not in known:
                    self.error(f"there is no option {option}; {self._nearest(option, known)}")
        return super().parse_known_args(args, namespace)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            known = [str(choice) for choice in action.choices]
            self.error(f"{value} is not one of {', '.join(known)}; {self._nearest(str(value), known)}")

    def _nearest(self, word: str, known: Iterable[str]) -> str:
        return nearest(word, known, f"`{self.prog} --help` lists all.", 0.6)

    def error(self, message: str) -> NoReturn:
        """Raise a UsageError."""
        missing = message.removeprefix("the following arguments are required: ")
        if missing != message:
            message = f"{self.prog} needs {missing}; `{self.prog} --help` shows how."
        raise UsageError(message)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit status: 0 done, 1 a mistake in what was given or found, 2 one in how it was typed,
        130 or 143 after a signal.
    """
    # threads that wait for others must not spin: beside one busy process they took ten times as long
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    arguments = [a for a in arguments if a != "--debug"]
    with interrupts.handled():
        status = _run(arguments, debug)
        return interrupts.status() or status


def _run(arguments: list[str], debug: bool) -> int:
    try:
        return _dispatch(arguments)
    except BrokenPipeError:  # `zoo list | head`
        sys.stderr.close()
        return 0
    except KeyboardInterrupt:
        return 130
    except SystemExit as leave:
        if interrupts.received:
            return 1
        raise leave
    except Exception as error:
        if interrupts.received:  # raised because of the signal
            return 1
        if debug:
            traceback.print_exc()
        print(f"zoo: {printable(_sentence(error))}", file=sys.stderr)
        typed = isinstance(error, UsageError) or getattr(error, "errno", None) == errno.ENAMETOOLONG
        return 2 if typed else 1


def _dispatch(arguments: list[str]) -> int:
    verb = arguments[0] if arguments else "--help"
    if verb in ("-h", "--help", "help"):
        print(_help())
        return 0
    if verb in ("-V", "--version"):
        print(f"zoo {__version__}")
        return 0
    if verb in TRAINER_VERBS:
        from zoo.training import run

        return run(verb, arguments[1:])  # type: ignore[arg-type]
    known = commands()
    if verb not in known:
        hint = nearest(verb, [*TRAINER_VERBS, *known], "`zoo --help` lists all.", 0.6)
        raise UsageError(f"there is no command {verb}; {hint}")
    command = importlib.import_module(f"zoo.commands.{verb}")
    parser = parser_of(verb)
    # options may stand between words, `zoo sample NAME -o OUT INPUT`
    parse = parser.parse_args if parser._subparsers else parser.parse_intermixed_args
    status: int = command.run(parse(arguments[1:]))
    return status


def parser_of(verb: str) -> Parser:
    """The parser of a verb of ``zoo/commands``."""
    command = importlib.import_module(f"zoo.commands.{verb}")
    parser = Parser(f"zoo {verb}", description=command.__doc__, allow_abbrev=False)
    command.configure(parser)
    return parser


def commands() -> dict[str, Path]:
    """The source of each verb of ``zoo/commands``."""
    folder = Path(__file__).parent / "commands"
    paths = sorted([*folder.glob("[a-z]*.py"), *folder.glob("[a-z]*/__init__.py")])
    verbs = {path.parent.name if path.stem == "__init__" else path.stem: path for path in paths}
    return dict(sorted(verbs.items()))


def _help() -> str:
    docs = {verb: ast.get_docstring(ast.parse(path.read_text("utf-8"))) for verb, path in commands().items()}
    width = max(map(len, [*TRAINER_VERBS, *docs]))
    lines = [
        "usage: zoo VERB [options]   (zoo VERB --help says more; --debug shows tracebacks)",
        "",
        "Recipes:",
    ]
    lines += [f"  {verb.ljust(width)}  {text}" for verb, text in TRAINER_VERBS.items()]
    lines += ["", "Everything else:"]
    lines += [f"  {verb.ljust(width)}  {(doc or '').partition(chr(10))[0]}" for verb, doc in docs.items()]
    lines += ["", "Start with:  zoo fit --config gan/digits"]
    return "\n".join(lines)


def _sentence(error: Exception) -> str:
    """One plain sentence for any exception; those that libraries raise are put into words."""
    text = str(error)
    if isinstance(error, UserError):
        marker = "UserError: "  # a data worker's error arrives with its traceback in the message
        return text.rsplit(marker, 1)[-1].strip() if "Original Traceback" in text else text
    if "DataLoader worker" in text and ("exited unexpectedly" in text or "killed by signal" in text):
        return (
            "A process that prepares batches was killed, most likely for want of memory; lower "
            "data.num_workers or data.batch_size and go on with --resume auto."
        )
    if "Error(s) in loading state_dict" in text:
        detail = text.split("\n")[1].strip() if "\n" in text else text
        return f"The checkpoint does not fit this model: {detail[:300]}"
    if isinstance(error, MemoryError) or re.search("out of memory|can't allocate memory", text, re.I):
        return "Out of memory; lower data.batch_size or data.size, or cut each batch with model.accumulate."
    if isinstance(error, OSError) and error.filename is not None:
        return f"Cannot use {str(error.filename)[:200]} ({error.strerror}); check the path."
    first = text.strip().split("\n")[0][:300] or "no message"
    return f"{type(error).__name__}: {first} (run again with --debug for the traceback)"


if __name__ == "__main__":
    sys.exit(main())
