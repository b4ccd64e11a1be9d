"""The reference page of all packets and their fields, generated from the packet classes.

``python -m amie_engine.packet.reference docs/packets.md`` writes it; a test fails when it is stale.
"""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from typing import Any

from amie_engine.packet import __all__ as names
from amie_engine.packet import base
from amie_engine.packet.base import Packet
from amie_engine.packet.fields import Field

__all__ = ["reference_page"]

_INTRODUCTION = """\
# Packets and their fields

Generated from the packet classes by `python -m amie_engine.packet.reference docs/packets.md`.

Every field is an attribute of its class: `packet.GrantNumber`. What AMIE's documents don't name is kept in
`packet.additional_data`. The columns:

- **kind**: `text`, `date` (`YYYY-MM-DD`), `datetime` (ISO 8601 with zone), `amount` (decimal or negative),
  `list` (of text), `objects` (list of objects with the keys named).
- **required**: `yes`; `inferred` where the service fills it in if a reply leaves it out.
- **reply**, **first**: a reply must carry it in the end; a packet that begins a transaction of the site's own
  must carry it.
- **log**: `fact` stays in the log for ever; `personal` stands in documents only, which can be erased.
"""


def _classes() -> list[type[Packet]]:
    module: Any = sys.modules["amie_engine.packet"]
    found = [getattr(module, name) for name in names]
    return sorted(
        (
            item
            for item in found
            if inspect.isclass(item) and issubclass(item, Packet) and item is not base.Packet
        ),
        key=lambda item: item._packet_type,
    )


def _row(field: Field[Any]) -> str:
    kind = f"{field.kind} ({', '.join(field.items)})" if field.items else field.kind
    required = "inferred" if field.required and field.inferable else "yes" if field.required else ""
    log = "fact" if field.fact else "personal" if field.personal else ""
    reply, first = ("yes" if flag else "" for flag in (field.reply_required, field.originating_required))
    return f"| `{field.name}` | {kind} | {required} | {reply} | {first} | {log} |"


def _section(packet_class: type[Packet]) -> str:
    expected = ", ".join(f"`{reply['type']}`" for reply in packet_class._expected_reply)
    description = inspect.cleandoc(packet_class.__doc__ or "").replace("``", "`")
    description = re.sub(r"(?<!\n)\n(?!\n)", " ", description)
    if packet_class._packet_type == "inform_transaction_complete":
        expected = "none"
    rows = "\n".join(_row(packet_class._fields[name]) for name in sorted(packet_class._fields))
    return (
        f"## {packet_class._packet_type}\n\n`{packet_class.__module__}.{packet_class.__name__}`."
        f" Expected reply: {expected}.\n\n{description}\n\n"
        f"| field | kind | required | reply | first | log |\n|---|---|---|---|---|---|\n{rows}\n"
    )


def reference_page() -> str:
    """Return the reference page, in Markdown."""
    return "\n".join([_INTRODUCTION, *(_section(packet_class) for packet_class in _classes())])


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(reference_page(), encoding="utf-8")
