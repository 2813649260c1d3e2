"""A small asynchronous client of NATS Streaming over nats-py: see stanft.stan.client."""
