"""The ground: what a dataset is, where it comes from, whether it fits, how it becomes features."""
