"""amie-engine."""
