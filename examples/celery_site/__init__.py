"""amie-engine as Celery tasks: one talks to the service, and each piece of work is one of its own."""
