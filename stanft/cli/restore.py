"""stan-ft restore: the way back of stan-ft backup."""

from stanft.cli.backup import restore_main as main
from stanft.cli.backup import restore_parser as parser

__all__ = ["main", "parser"]
