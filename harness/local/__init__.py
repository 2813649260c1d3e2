"""The local cluster with both charts on it: planned, made, proven, played with and taken away."""
