"""The check as a product: objects from files, charts or a live namespace, judged and told in three formats."""
