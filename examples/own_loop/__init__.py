"""amie-engine in a loop of a site's own: by ticks, by a schedule of its own, and without handlers."""
