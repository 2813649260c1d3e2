"""The local cluster: pinned tools, container engine, images, and the life of the kind cluster."""
