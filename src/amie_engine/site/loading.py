"""Finding a site's handlers by name: ``module:object``."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from amie_engine.errors import SettingsError
from amie_engine.site.handlers import Site

__all__ = ["load_site"]


def load_site(name: str) -> Site:
    """Return the site that ``module:object`` names: a `Site`, or a function that returns one.

    The current folder is searched as well.

    Raises:
        SettingsError: There is no such module or object, or it is no site.
    """
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute:
        raise SettingsError(f"{name!r} names no site.", hint="Give module:object, such as campus.site:site.")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not module_name.startswith(error.name):
            raise SettingsError(
                f"The site's module {module_name!r} needs {error.name!r}, which is not installed."
            ) from error
        raise SettingsError(
            f"There is no module {module_name!r}.",
            hint="Check the name, and that it is in the current folder or installed.",
        ) from None
    site = getattr(found, attribute, None)
    if callable(site) and not isinstance(site, Site):
        site = site()
    if not isinstance(site, Site):
        raise SettingsError(f"{name!r} is no site.", hint="It must be an amie_engine.Site, or return one.")
    return site
