"""All errors that a user can meet, in the order of a run, each with its exit code.

A run reads its configuration and the user's words (``UsageError``, 2), needs a machine that works
(``EnvironmentBrokenError``, 3), measures, and judges (exit code 1, which is a verdict and not an error).
Code below ``__main__`` raises; ``__main__`` alone prints and exits.
"""

import difflib
from collections.abc import Iterable

EXIT_FINE = 0
EXIT_JUDGED_BAD = 1
EXIT_USAGE = 2
EXIT_ENVIRONMENT = 3
EXIT_INTERRUPTED = 130


class HarnessError(Exception):
    """An error that is told to the user as a message and a hint, never as a traceback.

    ``mistakes`` holds every mistake found, since a user who mends one at a time runs us once for each.
    """

    exit_code = EXIT_JUDGED_BAD

    def __init__(self, message: str, *, hint: str = "", mistakes: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.mistakes = tuple(mistakes)

    def __str__(self) -> str:
        lines = [self.message, *(f"  - {mistake}" for mistake in self.mistakes)]
        if self.hint:
            lines.append(f"  hint: {self.hint}")
        return "\n".join(lines)


class UsageError(HarnessError):
    """Wrong words on the command line, or a wrong key, type or value in matrix.toml or data/."""

    exit_code = EXIT_USAGE


class EnvironmentBrokenError(HarnessError):
    """The machine is broken or lacks something, not the model: no engine, no image, no disk, a void shard."""

    exit_code = EXIT_ENVIRONMENT


class ResultsError(HarnessError):
    """Results that cannot be read or do not belong together; the report exits 1 and says which."""


def suggest(word: str, known: Iterable[str]) -> str:
    """' (did you mean X?)' with the nearest of the known words, or '' where none is near; capitals do not matter."""
    words = {one.casefold(): one for one in known}
    near = difflib.get_close_matches(word.casefold(), words, n=1, cutoff=0.6)
    return f" (did you mean {words[near[0]]!r}?)" if near else ""
