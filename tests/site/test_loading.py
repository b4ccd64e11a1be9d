"""Finding a site by ``module:object``, and what its author is told when it is not found."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from amie_engine import Site
from amie_engine.errors import AMIEEngineError, HandlerInvalid, SettingsError, SiteFails
from amie_engine.site import load_site

MODULE = """
from amie_engine import Site

site = Site("NCSA")
sites = [site]


def make():
    return Site("PSC")


def broken():
    raise RuntimeError("Robin Example")


def leaving():
    raise SystemExit


def wants_more(path):
    return site
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, whose modules are forgotten afterwards."""
    sys.modules.pop("oursite", None)  # of another test's
    before = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "oursite.py").write_text(MODULE)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_a_site_or_a_function_that_returns_one_is_found_in_the_current_folder() -> None:
    assert load_site("oursite:site").name == "NCSA"
    assert load_site("oursite:make").name == "PSC"


def test_the_examples_are_found_from_anywhere() -> None:
    assert isinstance(load_site("campus.site:site"), Site)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("", "names no site"),
        ("oursite", "Give module:object"),
        ("oursite:", "names no site"),
        (":site", "names no site"),
        (".oursite:site", "names no site"),
        ("oursite:a:b", "names no site"),
        ("oursites:site", "There is no module 'oursites'"),
        ("oursite.handlers:site", "There is no module 'oursite.handlers'"),
        ("oursite:sitte", "has no 'sitte'. Did you mean site?"),
        ("oursite:zzz", "has no 'zzz'. Give the name of its Site."),
        ("oursite:sites", "is no site, but a list"),
        ("oursite:broken", "The site's own code oursite:broken() raised RuntimeError, at"),
        ("oursite:leaving", "The site's own code oursite:leaving() raised SystemExit, at"),
        ("oursite:wants_more", "a function without parameters"),
    ],
)
def test_what_is_wrong_with_a_name_is_told(name: str, told: str) -> None:
    kind = SiteFails if "raised" in told else SettingsError
    with pytest.raises(kind) as caught:
        load_site(name)
    assert told in str(caught.value)
    assert "Robin" not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import campus_tools\n", "needs 'campus_tools', which is not installed"),
        ("import theirs_too\n", "needs 'theirs_too', which is not installed"),
        ("\ndef f(:\n", "The site's own code theirs is no Python, at"),
        ("\n\n1 / 0\n", "The site's own code theirs raised ZeroDivisionError, at"),
        ("\n\nraise SystemExit\n", "The site's own code theirs raised SystemExit, at"),
    ],
)
def test_what_is_wrong_with_the_module_itself_is_told_with_its_place(
    folder: Path, code: str, told: str
) -> None:
    (folder / "theirs.py").write_text(code)
    kind = SiteFails if "raised" in told else SettingsError
    with pytest.raises(kind) as caught:
        load_site("theirs:site")
    assert told in str(caught.value)
    if "own code" in told:
        assert f"{folder / 'theirs.py'}:{code.count(chr(10))}" in str(caught.value)


def test_an_error_of_ours_in_the_module_keeps_its_own_hint(folder: Path) -> None:
    (folder / "typo.py").write_text(MODULE + '\nsite.handles("request_project_crate")\n')
    with pytest.raises(HandlerInvalid, match="Did you mean request_project_create"):
        load_site("typo:site")
    (folder / "typo2.py").write_text(MODULE + '\ndef build():\n    site.handles("nope")\n')
    with pytest.raises(AMIEEngineError, match="No site handles"):
        load_site("typo2:build")
