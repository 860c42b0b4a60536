"""One file per peer, so that a peer that is not installed is missing by itself."""
