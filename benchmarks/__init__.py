"""How fast a lease is, against a bare queue and other pools in the same run: `make bench`."""
