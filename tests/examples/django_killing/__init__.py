"""A Django app that kills its process at a step of the example's: before Django's commit, or right after."""
