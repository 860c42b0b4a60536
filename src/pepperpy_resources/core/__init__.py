"""The pool core: pure, sans-IO. Events in, effects out; no clock, loop, thread or pykka."""
