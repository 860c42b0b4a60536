"""What a pool does when things go wrong, ours beside its peers: `make compare-reliability`."""
