"""Print a script that completes `zoo` commands in a shell.

bash:  zoo completion bash >> ~/.bashrc
zsh:   zoo completion zsh >> ~/.zshrc
fish:  zoo completion fish > ~/.config/fish/completions/zoo.fish
"""

from __future__ import annotations

import argparse

BASH = """_zoo() {
    local IFS=$'\\n'
    COMPREPLY=($(compgen -W "$(zoo completion words -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)" \\
        -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _zoo zoo
"""
SCRIPTS = {
    "bash": BASH,
    "zsh": "autoload -U +X bashcompinit && bashcompinit\n" + BASH,
    "fish": "complete -c zoo -a "
    "'(zoo completion words -- (commandline -opc)[2..] (commandline -ct) 2>/dev/null)'\n",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("shell", choices=[*SCRIPTS, "words"], help="the shell; the script asks for `words`")
    parser.add_argument("typed", nargs="*", help="for `words`: what has been typed after zoo")


def run(args: argparse.Namespace) -> int:
    """Print the script, or the words that may follow."""
    print("\n".join(candidates(args.typed)) if args.shell == "words" else SCRIPTS[args.shell], end="")
    return 0


def candidates(typed: list[str]) -> list[str]:
    """The words that may stand last in a command.

    Args:
        typed: The words after ``zoo``; the last one is being typed, and may be empty.
    """
    from zoo import catalogue, recipes
    from zoo.cli import TRAINER_VERBS, commands, parser_of
    from zoo.training import usage

    if len(typed) < 2:
        return [*TRAINER_VERBS, *commands()]
    verb, before = typed[0], typed[-2]
    names = [recipe.name for recipe in recipes.all_recipes()]
    if before in ("--config", "--like"):
        return names
    if verb in TRAINER_VERBS:
        return usage.options(typed[1:-1])
    if verb not in commands():
        return []
    weights = [str(entry["name"]) for entry in catalogue.checkpoints()]
    weights += [entry["name"] for entry in catalogue.foreign()] if verb == "download" else []
    found: list[str] = []
    is_free = False  # whether the verb takes words that are no options and no choices
    for action in parser_of(verb)._actions:
        if before in action.option_strings and action.nargs != 0:  # its value
            return [str(choice) for choice in action.choices or ()]
        found += action.option_strings or [str(choice) for choice in action.choices or ()]
        is_free |= not action.option_strings and not action.choices
    return [*found, *[*weights, *names] * is_free]
