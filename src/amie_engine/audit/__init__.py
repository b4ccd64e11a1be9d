"""What an auditor asks of the log."""

from amie_engine.audit.backup import BackedUp, back_up
from amie_engine.audit.concerning import Audit, AuditEntry, audit
from amie_engine.audit.erasing import Erasure
from amie_engine.audit.erasures import RecordedErasure, list_erasures
from amie_engine.audit.exporting import Exported, export
from amie_engine.audit.importing import Imported, import_log
from amie_engine.audit.problems import Problem
from amie_engine.audit.projections import (
    Difference,
    ProjectionCheck,
    Rebuilt,
    check_projections,
    rebuild,
)
from amie_engine.audit.redaction import Redaction
from amie_engine.audit.replaying import Replay, ReplayedTransaction, position_at, replay, replay_one
from amie_engine.audit.seal import CheckedSeal, Seal, make_seal, new_key, read_seal
from amie_engine.audit.timeline import Story, StoryEntry, tell
from amie_engine.audit.verifying import Verdict, verify

__all__ = [
    "Audit",
    "AuditEntry",
    "BackedUp",
    "CheckedSeal",
    "Difference",
    "Erasure",
    "Exported",
    "Imported",
    "Problem",
    "ProjectionCheck",
    "Rebuilt",
    "RecordedErasure",
    "Redaction",
    "Replay",
    "ReplayedTransaction",
    "Seal",
    "Story",
    "StoryEntry",
    "Verdict",
    "audit",
    "back_up",
    "check_projections",
    "export",
    "import_log",
    "list_erasures",
    "make_seal",
    "new_key",
    "position_at",
    "read_seal",
    "rebuild",
    "replay",
    "replay_one",
    "tell",
    "verify",
]
