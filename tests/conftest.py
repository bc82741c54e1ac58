"""What holds for all tests."""

from hypothesis import settings

# A deadline for each example would fail on a busy machine, and say nothing of the code.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")
