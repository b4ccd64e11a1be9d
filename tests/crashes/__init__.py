"""Trying every point at which a process can crash, and what the trying itself is good for."""
