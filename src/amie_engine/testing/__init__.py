"""What a site imports to test its own handlers; the strategies need ``amie-engine[test]``."""
