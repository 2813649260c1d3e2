"""A live group: its servers, their roles, and moving the active on."""
