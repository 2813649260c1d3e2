"""Servers on this machine's loopback addresses."""
