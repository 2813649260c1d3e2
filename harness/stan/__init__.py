"""A small asynchronous client of NATS Streaming over nats-py: see harness.stan.client."""
