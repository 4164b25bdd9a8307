"""Train and evaluate recipes: misspelt keys (``keys``), the run itself (``runs``), loggers (``loggers``)."""

from zoo.training.keys import UsageError
from zoo.training.runs import RecipeCLI, build, newest_checkpoint, run

__all__ = ["RecipeCLI", "UsageError", "build", "newest_checkpoint", "run"]
