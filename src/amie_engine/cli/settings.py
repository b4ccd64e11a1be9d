"""The command's settings: from a TOML file, ``AMIE_ENGINE_*`` variables, and options; the later wins."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from pathlib import Path
from typing import Any

from amie_engine.cli.logs import LOG_FORMATS
from amie_engine.client import DEFAULT_URL
from amie_engine.engine.core import ACKNOWLEDGE, DEADLINE_WARNING
from amie_engine.engine.service import DEFAULT_HUB
from amie_engine.errors import SettingsError
from amie_engine.site.client_states import check_client_state
from amie_engine.site.runner import LONGEST_INTERVAL

__all__ = ["DEFAULT_FILE", "DEFAULT_HUB", "ENVIRONMENT_PREFIX", "SETTINGS", "Settings", "load_settings"]

DEFAULT_FILE = "amie-engine.toml"
ENVIRONMENT_PREFIX = "AMIE_ENGINE_"

_DEFAULT_INTERVAL = 30.0
_LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
_NO_SETTINGS = ("CONFIG", "TRACEBACK")
_SURELY_MEANT = 0.85
"""How alike a variable's name must be to a setting's to be taken for a slip. Others may have the prefix too:
a cluster's service links, say."""


def _setting(default: Any, meaning: str, *, secret: bool = False) -> Any:
    return field(default=default, repr=not secret, metadata={"meaning": meaning})


@dataclass(frozen=True, slots=True)
class Settings:
    """What the commands need to know. Every name is also a key of the file and, in capitals with the prefix,
    an environment variable."""

    database: str = _setting("sqlite:///amie.db", "The log's database: an SQLite or PostgreSQL URL.")
    site: str | None = _setting(None, "The site's AMIE name.")
    hub: str | None = _setting(
        None,
        "A name for the central service in the log: one for each of production, test and sandbox. Without"
        f" one, the only one in the log, or `{DEFAULT_HUB}`, which is production.",
    )
    url: str | None = _setting(
        None, f"The AMIE service's base URL; without one, for the hub `{DEFAULT_HUB}` alone, `{DEFAULT_URL}`."
    )
    api_key: str | None = _setting(None, "The site's API key at the service.", secret=True)
    api_key_file: str | None = _setting(None, "A file that holds the API key and nothing else.")
    handlers: str | None = _setting(None, "The site's handlers, as `module:object`.")
    interval: float = _setting(
        _DEFAULT_INTERVAL, "Seconds between two polls of `run` while the service has news."
    )
    longest_interval: float = _setting(
        LONGEST_INTERVAL, "Seconds between two polls of `run` once it has had none for long."
    )
    workers: int = _setting(1, "In how many threads `run` calls handlers.")
    acknowledge_inform: str = _setting(
        "when_lingering", f"Whether to answer an inform of the hub's: {', '.join(ACKNOWLEDGE)}."
    )
    deadline_warning: float = _setting(
        DEADLINE_WARNING / timedelta(days=1), "How many days before a deadline passes it counts as near."
    )
    client_state: str | None = _setting(
        None, "What `run` notes at the service on each packet that was taken in, for other tools of the site."
    )
    log_level: str = _setting("INFO", f"What `run`, `poll` and `reconcile` log: {', '.join(_LOG_LEVELS)}.")
    log_format: str = _setting("text", f"How they log it: {', '.join(LOG_FORMATS)}.")
    metrics_port: int | None = _setting(None, "The port at which `run` serves metrics for Prometheus.")
    metrics_host: str = _setting("127.0.0.1", "The address at which it serves them.")

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
        if not self.api_key_file:
            return self.require("api_key")
        try:
            key = Path(self.api_key_file).expanduser().read_text(encoding="utf-8").strip()
        except OSError as error:
            raise SettingsError(
                f"The file with the API key can't be read: {error.strerror}.",
                hint="Check the setting api_key_file.",
            ) from None
        except ValueError:
            key = ""
        if not key or len(key.splitlines()) != 1:
            raise SettingsError(
                "The file with the API key holds no key.",
                hint="It must hold the key and nothing else, on one line.",
            )
        return key


SETTINGS = {setting.name: setting for setting in fields(Settings)}
"""The settings by name; the ``meaning`` of each is in its metadata."""

_KEYS = ("api_key", "api_key_file")


def load_settings(
    options: Mapping[str, Any], *, file: Path | None = None, environment: Mapping[str, str] = os.environ
) -> Settings:
    """Return the settings. An empty text counts as none.

    Args:
        options: What the command line gave; None for what it did not.
        file: The TOML file; without one, ``AMIE_ENGINE_CONFIG`` names it, or amie-engine.toml in the current
            folder is read if it is there.
        environment: The variables.

    Raises:
        SettingsError: The file is none, or a setting is unknown or has a value that it can't have.
    """
    named = file or (Path(path) if (path := environment.get(f"{ENVIRONMENT_PREFIX}CONFIG")) else None)
    source = named or Path(DEFAULT_FILE)
    values = _over({}, _given(_read(source) if named is not None or source.is_file() else {}))
    values = _over(values, _given(_from_environment(environment)))
    values = _over(values, _given(options))
    return _checked(values)


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    """What is there, and is no empty text: a variable of the shell that is not set must not count as a value,
    as for a URL it would."""
    return {name: value for name, value in values.items() if value is not None and value != ""}


def _over(earlier: dict[str, Any], later: dict[str, Any]) -> dict[str, Any]:
    """The later values over the earlier ones. A key and a file with one are two ways to say one thing."""
    if all(name in later for name in _KEYS):
        raise SettingsError("Both api_key and api_key_file are set.", hint="Remove one of the two.")
    if any(name in later for name in _KEYS):
        earlier = {name: value for name, value in earlier.items() if name not in _KEYS}
    return earlier | later


def _from_environment(environment: Mapping[str, str]) -> dict[str, str]:
    values = {}
    for variable, value in environment.items():
        name = variable.removeprefix(ENVIRONMENT_PREFIX)
        if name == variable or name in _NO_SETTINGS:
            continue
        if name.lower() in SETTINGS and name.isupper():
            values[name.lower()] = value
            continue
        nearest = difflib.get_close_matches(name.lower(), SETTINGS, n=1, cutoff=_SURELY_MEANT)
        if nearest:
            raise SettingsError(
                f"The variable {variable} is no setting.",
                hint=f"Did you mean {ENVIRONMENT_PREFIX}{nearest[0].upper()}?",
            )
    return values


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            values = tomllib.load(file)
    except OSError as error:
        raise SettingsError(f"The settings in {path} can't be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        where = f": {error}" if isinstance(error, tomllib.TOMLDecodeError) else ""
        raise SettingsError(
            f"The settings in {path} are no TOML{where}.", hint='Write a setting a line: site = "NCSA", say.'
        ) from None
    for name in values:
        if name not in SETTINGS:
            nearest = difflib.get_close_matches(name, SETTINGS, n=1)
            hint = f"Did you mean {nearest[0]}?" if nearest else f"There are: {', '.join(SETTINGS)}."
            raise SettingsError(f"{path} has an unknown setting {name!r}.", hint=hint)
    return values


def _checked(values: dict[str, Any]) -> Settings:
    numbers: dict[str, Any] = {
        name: _seconds(name, values[name]) for name in ("interval", "longest_interval") if name in values
    }
    if "deadline_warning" in values:
        numbers["deadline_warning"] = _days("deadline_warning", values["deadline_warning"])
    if "workers" in values:
        numbers["workers"] = _workers(values["workers"])
    if "metrics_port" in values:
        numbers["metrics_port"] = _port("metrics_port", values["metrics_port"])
    for name, value in values.items():
        if name not in numbers and not isinstance(value, str):
            raise SettingsError(f"The setting {name} must be text.")
    if values.get("acknowledge_inform", ACKNOWLEDGE[0]) not in ACKNOWLEDGE:
        raise SettingsError(f"The setting acknowledge_inform must be one of {', '.join(ACKNOWLEDGE)}.")
    if "client_state" in values:
        check_client_state(values["client_state"])
    if values.get("log_format", LOG_FORMATS[0]) not in LOG_FORMATS:
        raise SettingsError(f"The setting log_format must be one of {', '.join(LOG_FORMATS)}.")
    level = str(values.get("log_level", "INFO")).upper()
    if level not in _LOG_LEVELS:
        raise SettingsError(f"The setting log_level must be one of {', '.join(_LOG_LEVELS)}.")
    return Settings(**{**values, **numbers, "log_level": level})


def _seconds(name: str, value: Any) -> float:
    seconds = _number(name, value, "seconds")
    if not 0 < seconds < 86_400:
        raise SettingsError(f"The setting {name} must be more than 0 seconds and less than a day.")
    return seconds


def _days(name: str, value: Any) -> float:
    days = _number(name, value, "days")
    if not 0 <= days <= 365:
        raise SettingsError(f"The setting {name} must be from 0 to 365 days.")
    return days


def _number(name: str, value: Any, unit: str) -> float:
    try:
        if isinstance(value, bool):
            raise TypeError
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise SettingsError(f"The setting {name} must be a number of {unit}.") from None


def _workers(value: Any) -> int:
    text = "" if isinstance(value, bool) else str(value)
    if not (text.isascii() and text.isdigit()) or not 1 <= len(text) <= 2 or text in ("0", "00"):
        raise SettingsError("The setting workers must be a whole number from 1 to 99.")
    return int(text)


def _port(name: str, value: Any) -> int:
    text = "" if isinstance(value, bool) else str(value)
    if not (text.isascii() and text.isdigit()) or len(text) > 5 or int(text) > 65_535:
        raise SettingsError(f"The setting {name} must be a whole number from 0 to 65535.")
    return int(text)
