"""The center's own tables."""

from __future__ import annotations

from django.db import models


class Person(models.Model):
    """Somebody with accounts here."""

    global_id = models.CharField(max_length=64, unique=True)
    first_name = models.CharField(max_length=100, blank=True)
    last_name = models.CharField(max_length=100, blank=True)
    merged_into = models.ForeignKey("self", null=True, on_delete=models.PROTECT)


class Project(models.Model):
    """A grant's project."""

    grant_number = models.CharField(max_length=64, unique=True)
    pi = models.ForeignKey(Person, on_delete=models.PROTECT)


class Account(models.Model):
    """A person's place in a project on a resource."""

    project = models.ForeignKey(Project, on_delete=models.PROTECT)
    person = models.ForeignKey(Person, on_delete=models.PROTECT)
    resource = models.CharField(max_length=100)
    active = models.BooleanField(default=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "person", "resource"], name="one_account_each")
        ]


class DoneStep(models.Model):
    """A step of a handler that was done, with what came of it, in the transaction in which it was done."""

    key = models.CharField(max_length=200, primary_key=True)
    result = models.JSONField(null=True)
