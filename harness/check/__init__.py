"""The check as a product: objects from files, charts or a live namespace, judged by the invariants, told in three formats."""
