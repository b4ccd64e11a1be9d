"""The app that does what AMIE asks: projects, persons and accounts."""
