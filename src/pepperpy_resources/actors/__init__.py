"""The actors: pykka actors hosted on the event loop, and the only package that knows pykka."""
