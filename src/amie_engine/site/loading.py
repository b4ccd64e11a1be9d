"""Finding a site's handlers by name: ``module:object``."""

from __future__ import annotations

import difflib
import importlib
import inspect
import re
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from amie_engine._resources import folder
from amie_engine.errors import AMIEEngineError, SettingsError, SiteFails
from amie_engine.site.handlers import Site

__all__ = ["load_site"]

_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


def load_site(name: str) -> Site:
    """Return the site that ``module:object`` names: a `Site`, or a function that returns one.

    The module is looked for in the current folder, among what is installed, and at last among the examples
    that come with amie-engine.

    Raises:
        SettingsError: There is no such module or object, or it is no site.
        SiteFails: Its own code raises.
    """
    if not _NAME.fullmatch(name):
        raise SettingsError(f"{name!r} names no site.", hint="Give module:object, such as campus.site:site.")
    module_name, _, attribute = name.partition(":")
    module = _module(module_name)
    found = _attribute(module, attribute)
    if not isinstance(found, Site) and callable(found):
        _check_that_it_takes_nothing(name, found)
        try:
            found = found()
        except (AMIEEngineError, KeyboardInterrupt):
            raise
        except BaseException as error:
            raise _its_own_fault(f"{name}()", error) from error
    if not isinstance(found, Site):
        raise SettingsError(
            f"{name!r} is no site, but a {type(found).__name__}.",
            hint="It must be an amie_engine.Site, or a function that returns one.",
        )
    return found


def _check_that_it_takes_nothing(name: str, function: Callable[..., Any]) -> None:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # one that is written in C may not tell
        return
    try:
        signature.bind()
    except TypeError as error:
        raise SettingsError(
            f"{name!r} makes no site: it can't be called without arguments ({error}).",
            hint="It must be an amie_engine.Site, or a function without parameters that returns one.",
        ) from None


def _module(name: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    examples = str(folder("examples"))
    if examples not in sys.path:
        sys.path.append(examples)
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name == missing or name.startswith(f"{missing}."):
            raise SettingsError(
                f"There is no module {name!r}.",
                hint="Check the name, and that it is in the current folder or installed.",
            ) from error
        raise SettingsError(
            f"The site's module {name!r} needs {missing!r}, which is not installed.",
            hint="Install it in the environment that amie-engine runs in.",
        ) from error
    except (AMIEEngineError, KeyboardInterrupt):
        raise
    except SyntaxError as error:
        if not _is_in_a_file(error):
            raise _its_own_fault(name, error) from error
        raise SettingsError(
            f"The site's own code {name} is no Python, at {error.filename}:{error.lineno}.",
            hint="Mend it there.",
        ) from error
    except BaseException as error:  # whoever calls sys.exit() there would end the daemon without a word
        raise _its_own_fault(name, error) from error


def _attribute(module: ModuleType, name: str) -> Any:
    try:
        return getattr(module, name)
    except AttributeError:
        known = [known for known in vars(module) if not known.startswith("_")]
        nearest = difflib.get_close_matches(name, known, n=1)
        hint = f"Did you mean {nearest[0]}?" if nearest else "Give the name of its Site."
        raise SettingsError(f"The module {module.__name__!r} has no {name!r}.", hint=hint) from None


def _its_own_fault(what: str, error: BaseException) -> SiteFails:
    """The site's own code is at fault, or a back end that it opens is down: its author needs the place; the
    text may be personal."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "site-packages" not in frame.filename] or frames
    file, line = own[-1].filename, own[-1].lineno
    if isinstance(error, SyntaxError) and error.filename is not None and _is_in_a_file(error):
        file, line = error.filename, error.lineno
    return SiteFails(f"The site's own code {what} raised {type(error).__name__}, at {file}:{line}.")


def _is_in_a_file(error: SyntaxError) -> bool:
    """Whether a file is no Python; else it is what the code itself has taken apart."""
    return error.filename is not None and Path(error.filename).is_file()
