"""What the tests and the scripts of the NATS Streaming FT charts share."""
