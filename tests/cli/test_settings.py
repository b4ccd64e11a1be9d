"""Where a setting comes from, which source wins, and what is told of one that can't be."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from amie_engine.cli.settings import SETTINGS, Settings, load_settings
from amie_engine.errors import SettingsError

SECRET = "s3cret-of-the-site"


def _file(folder: Path, text: str, name: str = "amie-engine.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def _load(options: dict[str, Any] | None = None, file: Path | None = None, **variables: str) -> Settings:
    environment = {f"AMIE_ENGINE_{name.upper()}": value for name, value in variables.items()}
    return load_settings(options or {}, file=file, environment=environment)


def test_the_defaults_need_no_file(folder: Path) -> None:
    settings = _load()
    assert settings == Settings()
    assert (settings.database, settings.hub, settings.interval) == ("sqlite:///amie.db", None, 30.0)


def test_the_file_yields_to_the_environment_and_both_to_an_option(folder: Path) -> None:
    _file(folder, 'site = "FILE"\nhub = "file"\nurl = "https://file.example.edu/"\ninterval = 5\n')
    settings = _load({"site": "OPTION", "hub": None}, site="VARIABLE", hub="variable")
    assert (settings.site, settings.hub) == ("OPTION", "variable")
    assert (settings.url, settings.interval) == ("https://file.example.edu/", 5.0)


def test_an_empty_variable_says_nothing(folder: Path) -> None:
    _file(folder, 'site = "FILE"\n')
    assert _load(site="").site == "FILE"


@pytest.mark.parametrize("name", ["url", "hub", "site", "handlers", "client_state"])
def test_an_empty_text_is_none_wherever_it_stands(folder: Path, name: str) -> None:
    """An empty URL of a test service's must not become the production service's."""
    _file(folder, f'{name} = ""\n')
    assert _load({name: ""}) == Settings()
    _file(folder, f'{name} = "one"\n')
    assert getattr(_load({name: ""}, None, **{name: ""}), name) == "one"


def test_the_file_is_the_one_that_is_named(folder: Path) -> None:
    _file(folder, 'site = "DEFAULT"\n')
    other = _file(folder, 'site = "OTHER"\n', "other.toml")
    option = _file(folder, 'site = "OPTION"\n', "option.toml")
    assert _load().site == "DEFAULT"
    assert _load(config=str(other)).site == "OTHER"
    assert _load(file=option, config=str(other)).site == "OPTION"
    with pytest.raises(SettingsError, match=r"missing\.toml can't be read: No such file"):
        _load(config=str(folder / "missing.toml"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('databse = "sqlite://"\n', "has an unknown setting 'databse'. Did you mean database?"),
        ("zzz = 1\n", "There are: database, site,"),
        ("[site]\nname = 1\n", "The setting site must be text"),
        ("site = 7\n", "The setting site must be text"),
        ("site = \n", "are no TOML"),
        ("interval = true\n", "must be a number of seconds"),
        ("longest_interval = 0\n", "more than 0 seconds"),
        ("deadline_warning = -1\n", "from 0 to 365 days"),
        ('deadline_warning = "soon"\n', "a number of days"),
        ("workers = true\n", "whole number from 1 to 99"),
        ("workers = 0\n", "whole number from 1 to 99"),
        ("workers = 1.5\n", "whole number from 1 to 99"),
        ("workers = 100\n", "whole number from 1 to 99"),
        ('interval = "soon"\n', "must be a number of seconds"),
        (f"interval = 1{'0' * 400}\n", "must be a number of seconds"),
        ("interval = 0\n", "more than 0 seconds"),
        ("interval = nan\n", "more than 0 seconds"),
        ("interval = 86400\n", "less than a day"),
        ('client_state = "not one word"\n', "client_state must have 1 to 32 letters"),
        ('acknowledge_inform = "sometimes"\n', "never, when_lingering, always"),
        ('log_level = "LOUD"\n', "DEBUG, INFO, WARNING, ERROR"),
        ('log_format = "xml"\n', "text, json"),
        ("metrics_port = true\n", "whole number from 0 to 65535"),
        ("metrics_port = 65536\n", "whole number from 0 to 65535"),
        ('metrics_port = "http"\n', "whole number from 0 to 65535"),
        (f'api_key = "{SECRET}"\napi_key_file = "key"\n', "Both api_key and api_key_file are set"),
    ],
)
def test_what_a_file_cannot_say_is_told(folder: Path, text: str, told: str) -> None:
    _file(folder, text)
    with pytest.raises(SettingsError) as caught:
        _load()
    assert told in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_file_that_is_no_text_is_told(folder: Path) -> None:
    (folder / "amie-engine.toml").write_bytes(b"site = \xff\xfe")
    with pytest.raises(SettingsError, match="are no TOML"):
        _load()


def test_a_slip_in_a_variables_name_is_told_and_others_with_the_prefix_are_let_be(folder: Path) -> None:
    with pytest.raises(SettingsError, match="Did you mean AMIE_ENGINE_DATABASE"):
        _load(databse="sqlite://")
    with pytest.raises(SettingsError, match="Did you mean AMIE_ENGINE_API_KEY"):
        _load(apikey=SECRET)
    assert _load(port="tcp://10.0.0.1:80", service_host="10.0.0.1", traceback="1") == Settings()


def test_a_level_may_be_in_small_letters_and_a_number_in_text(folder: Path) -> None:
    settings = _load(log_level="debug", interval="2.5")
    assert (settings.log_level, settings.interval) == ("DEBUG", 2.5)


def test_a_missing_setting_is_told_with_every_way_to_give_it(folder: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        _load().require("site", "--site")
    assert "Give --site, or set AMIE_ENGINE_SITE, or put it into amie-engine.toml." in str(caught.value)
    with pytest.raises(SettingsError, match="Set AMIE_ENGINE_API_KEY"):
        _load().key()


def test_the_key_comes_from_the_settings_or_from_a_file(folder: Path) -> None:
    path = _file(folder, f"{SECRET}\n", "key")
    assert _load(api_key=SECRET).key() == SECRET
    assert _load(api_key_file=str(path)).key() == SECRET
    assert _load({"api_key_file": "key"}).key() == SECRET


def test_a_later_source_replaces_key_and_key_file_alike(folder: Path) -> None:
    _file(folder, 'api_key_file = "nowhere"\n')
    assert _load(api_key=SECRET).key() == SECRET
    _file(folder, 'api_key = "old"\n')
    path = _file(folder, SECRET, "key")
    assert _load(api_key_file=str(path)).key() == SECRET


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff\xfe", f"{SECRET}\nand more".encode()])
def test_a_key_file_must_hold_the_key_and_nothing_else(folder: Path, content: bytes) -> None:
    (folder / "key").write_bytes(content)
    with pytest.raises(SettingsError, match="holds no key") as caught:
        _load(api_key_file="key").key()
    assert SECRET not in str(caught.value)
    with pytest.raises(SettingsError, match="can't be read: No such file"):
        _load(api_key_file="nowhere").key()


def test_the_key_is_in_no_repr(folder: Path) -> None:
    assert SECRET not in repr(_load(api_key=SECRET))


def test_every_setting_can_stand_in_a_file(folder: Path) -> None:
    values: dict[str, Any] = dict.fromkeys(SETTINGS, "text")
    values |= {"interval": 7, "longest_interval": 70, "workers": 2, "deadline_warning": 2}
    values |= {"acknowledge_inform": "never", "log_level": "ERROR"}
    values |= {"log_format": "json", "metrics_port": 9464}
    del values["api_key_file"]
    text = "".join(f"{name} = {value!r}\n".replace("'", '"') for name, value in values.items())
    assert tomllib.loads(text) == values
    _file(folder, text)
    settings = _load()
    assert {name: getattr(settings, name) for name in values} == values
