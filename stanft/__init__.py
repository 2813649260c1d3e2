"""What an operator installs: judges, watches, drills and moves NATS Streaming groups of any cluster."""
