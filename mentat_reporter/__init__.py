"""Reads security events from PostgreSQL and tells each abuse group, by mail, what its networks did."""

__version__ = "0.1.0"
