"""The command ``amie-engine``."""

from amie_engine.cli.app import main

__all__ = ["main"]
