"""Trying every point at which a process can crash.

::

    from amie_engine.testing.crashes import Course, try_every_point

    def our_hub(clock):
        hub = Sandbox("NCSA", clock=clock)
        hub.start_scenario("request_user_modify")
        return hub

    def test_nothing_is_lost_whatever_crashes():
        report = try_every_point(Course("user modify", our_hub, our_site))
        assert not report.failures, str(report)

Needs the sandbox's server: ``pip install 'amie-engine[sandbox]'``.
"""

from amie_engine.testing.crashes.course import Course
from amie_engine.testing.crashes.trying import Crash, Report, try_every_point

__all__ = ["Course", "Crash", "Report", "try_every_point"]
