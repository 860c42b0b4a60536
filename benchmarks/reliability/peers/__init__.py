"""One adapter a peer: how its documentation says to make it, around the fake server."""
