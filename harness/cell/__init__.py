"""The child's side of the wall: one model type on one backend, stage by stage.

Only this package imports torch and transformers, and only a fork of the warm parent runs it. Read ``child`` (what a
child does), then ``from_pretrained`` and ``pipelines`` (the two APIs), then what they call:
``synthesis`` (a tiny checkpoint and its inputs), ``outputs``, ``compare``, ``measure``.
"""
