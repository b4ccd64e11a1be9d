"""What a site imports to test its own handlers; strategies and contract need ``amie-engine[testing]``."""

from amie_engine.testing.clock import Clock

__all__ = ["Clock"]
