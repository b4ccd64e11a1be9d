"""The Django project of a center."""
