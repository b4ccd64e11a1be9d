"""What the log guarantees, by number. docs/log.md says it in full; every test of the contract names one."""

from __future__ import annotations

__all__ = ["GUARANTEES"]

GUARANTEES = {
    1: "whole or not at all",
    2: "versions without conflict",
    3: "gapless positions in the order of commits",
    4: "a packet is accepted once",
    5: "append-only",
    6: "evidence of every change",
    7: "readable for ever",
    8: "projections derive from the events",
    9: "erasing breaks nothing",
    10: "joining the site's own transaction",
    11: "time does not go back",
    12: "the site's engine stays the site's",
}
