"""Nothing is lost and nothing done twice, wherever the process is killed; and the harness sees it if not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from amie_engine.errors import SettingsError
from amie_engine.site import Site
from amie_engine.testing.crashes import Course, Crash, Report, try_every_point
from amie_engine.testing.crashes.courses import COURSES
from tests.crashes import broken, sites

BY_NAME = {course.name: course for course in COURSES}


class _Caught(Exception):
    """The harness has seen what is wrong."""


def tried(course: Course) -> Report:
    return try_every_point(course, jobs=2, lasting_only=True)


def is_caught(course: Course, told: str) -> bool:
    """Whether the harness tells of it; as soon as it does, no further points are tried."""

    def look(crash: Crash, _points: int) -> None:
        if any(told in problem for problem in crash.problems):
            raise _Caught

    try:
        try_every_point(course, jobs=2, lasting_only=True, on_crash=look)
    except _Caught:
        return True
    return False


@pytest.mark.parametrize("name", ["steps", "the site's own transaction", "answers are lost", "set failed"])
def test_nothing_is_lost_and_nothing_done_twice(name: str) -> None:
    report = tried(BY_NAME[name])
    assert not report.failures, str(report)
    where = [crash.where for crash in report.crashes]
    assert where[0].startswith("before ")
    assert {"after POST /v0.10/packets/CAMPUS", "after COMMIT"} <= set(where)
    assert any(each.startswith("after PUT") for each in where) == (name == "set failed")


@pytest.mark.parametrize(
    ("name", "site", "told"),
    [
        ("the site fails it", broken.two_commits, "requested in the log"),
        ("the site fails it", broken.forgetting_steps, "was done 2 times"),
        ("the site fails it", broken.forgetting_subscribers, "The subscriber 'all' has taken event"),
        ("the site fails it", broken.forgetting_who_is_new, "The subscriber 'new' has taken event"),
        ("the site fails it", broken.never_taking_over, "The subscriber 'all' has not taken the last"),
        ("the site fails it", broken.leaving_what_was_under_way, "The outbox still has a inform_transaction"),
        ("the site fails it", broken.losing_what_was_written, "Event 4 was committed, and is gone"),
        ("the site fails it", broken.losing_what_was_written, "Event 1 was committed, and another stands in"),
        ("the site fails it", broken.dating_events_anew, "verify: The hash of event 1 does not follow"),
        ("set failed", broken.confirming_first, "is in-progress at the service, and failed in the log"),
        ("the site begins", broken.sending_without_a_word, "as none does without a crash"),
        ("steps", broken.sending_without_a_word, "has posted 2 replies to the request_project_create"),
    ],
    ids=[
        "event and outbox in two commits",
        "steps are not kept",
        "subscribers are forgotten",
        "new subscribers are forgotten",
        "subscribers are not taken over",
        "what was under way is left",
        "the newest events are lost",
        "the first events are lost",
        "events are written over",
        "confirmed first",
        "attempts to begin are not kept",
        "attempts to reply are not kept",
    ],
)
def test_an_engine_that_is_broken_is_caught(name: str, site: Callable[[Path], Site], told: str) -> None:
    assert is_caught(replace(BY_NAME[name], site=site), told)


def test_a_course_that_ends_badly_without_any_crash_is_refused() -> None:
    with pytest.raises(SettingsError, match="goes wrong without any crash"):
        tried(replace(BY_NAME["steps"], site=broken.doing_nothing))


@pytest.mark.parametrize(
    ("site", "told"),
    [
        (broken.passing_over_the_first, "The subscriber 'all' has taken event 4, and not 3 before it"),
        (broken.telling_nobody, "The subscriber 'all' has not taken the last 4 that it wants"),
        (broken.knowing_what_no_event_says, "verify: 1 rows of amie_directory_persons are not what the"),
    ],
    ids=["the first events are passed over", "nobody is told", "projections say more"],
)
def test_an_engine_that_is_broken_without_any_crash_is_refused(
    site: Callable[[Path], Site], told: str
) -> None:
    with pytest.raises(SettingsError, match=told):
        tried(replace(BY_NAME["the site fails it"], site=site))


def test_a_subscriber_misses_nothing_that_was_there_before_it_began_or_that_it_does_not_want_or_skips() -> (
    None
):
    """And one that fails is waited for."""
    course = BY_NAME["the site fails it"]
    course = replace(course, site=sites.followed_in_many_ways, act=sites.skipping, effects=None)
    report = tried(course)
    assert not report.failures, str(report)
    with pytest.raises(SettingsError, match="'never' has not taken the last 1"):
        tried(replace(course, act=None))


def test_a_handler_that_does_something_outside_of_its_steps_is_caught() -> None:
    course = replace(BY_NAME["the site fails it"], site=sites.keeping_a_diary, effects=sites.in_the_diary)
    assert is_caught(course, "The back end has, and should not: looked into it")


def test_functions_that_no_other_process_can_have_are_refused() -> None:
    course = replace(BY_NAME["the site fails it"], site=lambda folder: sites.declining_at_once(folder))
    with pytest.raises(SettingsError, match="can't be played in a process of its own") as caught:
        tried(course)
    assert "at the top of a module" in caught.value.hint


def test_a_course_that_goes_another_way_each_time_is_told() -> None:
    course = replace(BY_NAME["the site fails it"], site=broken.never_the_same, effects=None)
    assert is_caught(course, "takes another way each time")


def test_the_command_tells_how_many_points_it_tried() -> None:
    command = [sys.executable, "-m", "amie_engine.testing.crashes", "--lasting-only", "the site begins"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "nothing lost, nothing twice" in ended.stdout
    assert "crashes tried, none went wrong" in ended.stdout


def test_the_command_names_the_courses_that_there_are() -> None:
    command = [sys.executable, "-m", "amie_engine.testing.crashes", "no such course"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 2
    assert "the site begins" in ended.stderr
