"""The way out: a live group, or a store on a disk, copied to JetStream with the same sequence numbers, and compared."""
