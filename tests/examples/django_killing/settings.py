"""The example's settings, with this app besides."""

from center.settings import *  # noqa: F403 # as Django's settings are extended

INSTALLED_APPS = ["allocations", "tests.examples.django_killing"]
