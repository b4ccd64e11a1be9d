"""A small resource provider, as an example: its own tables of projects, people, logins, accounts and
allocations in `campus.backend`, and the handlers that tie them to AMIE in `campus.site`. The back end knows
nothing of packets, and a site replaces it with its own."""
