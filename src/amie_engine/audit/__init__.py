"""What an auditor asks of the log."""

from amie_engine.audit.timeline import Story, StoryEntry, tell

__all__ = ["Story", "StoryEntry", "tell"]
