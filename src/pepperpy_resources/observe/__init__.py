"""Looking at a running manager: the tree, the summary, Prometheus. Watching changes nothing."""
