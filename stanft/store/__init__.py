"""The file store of NATS Streaming read without a server: what it holds, whether it is whole, copies of it."""
