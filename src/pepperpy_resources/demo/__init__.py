"""The main job, shown: real SQLite connections leased under load while everything breaks."""
