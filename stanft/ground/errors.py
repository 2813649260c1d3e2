"""The one error that a user is meant to read: what is wrong, where, and what to do instead."""

from __future__ import annotations


class UserError(Exception):
    """A problem that the user can solve; its text is the whole message, without a traceback."""
