"""Restarts the servers of one FT group so that the active moves exactly once: standbys first, the active last.

The chart's hook Job runs it as `python3 -m rollout`; stan-ft uses the same files from outside of the cluster. Each
round looks at the live objects anew and keeps nothing in mind, so it can be stopped and started at any point.
Only the standard library, and only relative imports: the package has another name in either place.
"""
