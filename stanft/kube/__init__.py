"""Kubernetes objects as plain data, and what Kubernetes demands of them."""
