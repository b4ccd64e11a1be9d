"""The project's settings: only what has to do with AMIE."""

from __future__ import annotations

import os

DATABASE_FILE = os.path.abspath(os.environ.get("CENTER_DATABASE", "center.db"))  # noqa: PTH100 # for Django

INSTALLED_APPS = ["allocations"]
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": DATABASE_FILE,
        # The log and Django write to one file: each waits for the other, and takes its turn at the beginning.
        "OPTIONS": {"timeout": 30, "transaction_mode": "IMMEDIATE"},
    }
}

AMIE = {
    "SITE": os.environ.get("AMIE_ENGINE_SITE", "NCSA"),
    "HUB": os.environ.get("AMIE_ENGINE_HUB", "access"),
    "DATABASE": f"sqlite:///{DATABASE_FILE}",  # Django's database: all names of the log's begin with amie_
    "URL": os.environ.get("AMIE_ENGINE_URL", ""),
    "API_KEY": os.environ.get("AMIE_ENGINE_API_KEY", ""),
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "loggers": {"amie_engine": {"handlers": ["console"], "level": "INFO"}},
}
