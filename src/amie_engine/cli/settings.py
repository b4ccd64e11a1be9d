"""The command's settings: from a TOML file, ``AMIE_ENGINE_*`` variables, and options; the later wins."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from amie_engine.engine.core import ACKNOWLEDGE
from amie_engine.errors import SettingsError

__all__ = ["DEFAULT_FILE", "ENVIRONMENT_PREFIX", "Settings", "load_settings"]

DEFAULT_FILE = "amie-engine.toml"
ENVIRONMENT_PREFIX = "AMIE_ENGINE_"

_DEFAULT_INTERVAL = 30.0


@dataclass(frozen=True, slots=True)
class Settings:
    """What the commands need to know. Every name is also a key of the file and, in capitals with the prefix,
    an environment variable."""

    database: str = "sqlite:///amie.db"
    site: str | None = None
    hub: str = "access"
    url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    api_key_file: str | None = None
    handlers: str | None = None
    interval: float = _DEFAULT_INTERVAL
    acknowledge_inform: str = "when_lingering"
    log_level: str = "INFO"

    def require(self, name: str, option: str | None = None) -> str:
        """Return a setting that a command can't do without.

        Args:
            name: The setting.
            option: The command's option for it, where it has one.

        Raises:
            SettingsError: It is missing.
        """
        value = getattr(self, name)
        if not value:
            given = f"Give {option}, or set" if option else "Set"
            raise SettingsError(
                f"The setting {name} is missing.",
                hint=f"{given} {ENVIRONMENT_PREFIX}{name.upper()}, or put it into {DEFAULT_FILE}.",
            )
        return str(value)

    def key(self) -> str:
        """Return the API key, from the settings or from the file that they name.

        Raises:
            SettingsError: There is none, or the file can't be read.
        """
        if self.api_key_file and not self.api_key:
            try:
                return Path(self.api_key_file).expanduser().read_text(encoding="utf-8").strip()
            except OSError as error:
                raise SettingsError(
                    f"The file with the API key can't be read: {error.strerror}.",
                    hint="Check the setting api_key_file.",
                ) from None
        return self.require("api_key")


_NAMES = [setting.name for setting in fields(Settings)]


def load_settings(
    options: Mapping[str, Any], *, file: Path | None = None, environment: Mapping[str, str] = os.environ
) -> Settings:
    """Return the settings.

    Args:
        options: What the command line gave; None for what it did not.
        file: The TOML file; without one, ``AMIE_ENGINE_CONFIG`` names it, or amie-engine.toml in the current
            folder is read if it is there.
        environment: The variables.

    Raises:
        SettingsError: The file is none, or a setting is unknown or has a value that it can't have.
    """
    values: dict[str, Any] = {}
    named = file or (Path(path) if (path := environment.get(f"{ENVIRONMENT_PREFIX}CONFIG")) else None)
    source = named or Path(DEFAULT_FILE)
    if named is not None or source.is_file():
        values |= _read(source)
    for name in _NAMES:
        variable = f"{ENVIRONMENT_PREFIX}{name.upper()}"
        if environment.get(variable):
            values[name] = environment[variable]
    values |= {name: value for name, value in options.items() if value is not None}
    return _checked(values)


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            values = tomllib.load(file)
    except OSError as error:
        raise SettingsError(f"The settings in {path} can't be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"The settings in {path} are no TOML: {error}.") from None
    for name in values:
        if name not in _NAMES:
            nearest = difflib.get_close_matches(name, _NAMES, n=1)
            hint = f"Did you mean {nearest[0]}?" if nearest else f"There are: {', '.join(_NAMES)}."
            raise SettingsError(f"{path} has an unknown setting {name!r}.", hint=hint)
    return values


def _checked(values: dict[str, Any]) -> Settings:
    try:
        values["interval"] = float(values.get("interval", _DEFAULT_INTERVAL))
    except (TypeError, ValueError):
        raise SettingsError("The setting interval must be a number of seconds.") from None
    if not 0 < values["interval"] < 86_400:
        raise SettingsError("The setting interval must be more than 0 seconds and less than a day.")
    for name in _NAMES:
        if name != "interval" and not isinstance(values.get(name, ""), str):
            raise SettingsError(f"The setting {name} must be text.")
    if values.get("acknowledge_inform", ACKNOWLEDGE[0]) not in ACKNOWLEDGE:
        raise SettingsError(f"The setting acknowledge_inform must be one of {', '.join(ACKNOWLEDGE)}.")
    level = str(values.get("log_level", "INFO")).upper()
    if level not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise SettingsError("The setting log_level must be DEBUG, INFO, WARNING or ERROR.")
    return Settings(**{**values, "log_level": level})
