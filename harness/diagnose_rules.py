"""The table of causes: what an error's class and message say, and what to do about it.

Rules are tried in order, the most telling first; the categories are closed. A rule is advice: no outcome and no
verdict depends on it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

Category = Literal[
    "out-of-memory",
    "timeout",
    "crash",
    "disk",
    "wrong output",
    "fallback",
    "hub",
    "missing package",
    "device",
    "unsupported operator",
    "export",
    "token mismatch",
    "tokenizer or processor",
    "checkpoint",
    "config validation",
    "shape mismatch",
    "dtype mismatch",
    "index out of range",
    "missing attribute",
    "missing key",
    "wrong argument",
    "not implemented",
    "harness",
    "other",
]


@dataclass(frozen=True)
class Rule:
    """A category with its hint, for errors whose ``Class: message`` the pattern is found in."""

    category: Category
    hint: str
    pattern: str = ""

    def matches(self, error: str) -> bool:
        return re.search(self.pattern, error, re.IGNORECASE | re.DOTALL) is not None


OTHER: Final = Rule("other", "no rule knows this error: the frame and the traceback say where to look")
HARNESS: Final = Rule("harness", "raised by the harness itself, not by the model: please report it with the traceback")

RULES: Final[Sequence[Rule]] = (
    Rule(
        "fallback",
        "PyTorch computed what the runtime was to: the attempts say what each route converted, and what not",
        r"^FallbackError:",
    ),
    Rule(
        "wrong output",
        "it ran, and its numbers are not to be trusted: the comparison shows which output and by how much",
        r"^MismatchError:",
    ),
    Rule(
        "out-of-memory",
        "give it more memory (fewer --jobs, higher limits in matrix.toml), or make its recipe smaller",
        r"^(Memory|OutOfMemory)Error|out of memory|can't allocate memory|std::bad_alloc|CUBLAS_STATUS_ALLOC_FAILED",
    ),
    Rule(
        "disk",
        "the machine's disk or scratch space is full, read-only or broken: enlarge tmpfs in matrix.toml",
        r"no space left|read-only file system|disk quota|too many open files|\[errno (5|23|24|28|30|122)\]",
    ),
    Rule(
        "hub",
        "it tried to download: runs have no network. Its recipe must synthesise this file",
        r"^(ConnectionError|HfHubHTTPError|LocalEntryNotFoundError|OfflineModeIsEnabled|RepositoryNotFoundError"
        r"|GatedRepoError|MaxRetryError|SSLError|ProxyError|HTTPError|ConnectError)"
        r"|huggingface\.co|couldn't connect to|offline mode|name resolution|network is unreachable",
    ),
    Rule(
        "missing package",
        "the stack lacks a package: add it to the stack's .in file in docker/pins/, then nox -s lock",
        r"^ModuleNotFoundError|^ImportError|^PackageNotFoundError|requires the .{1,60} library"
        r"|pip3? install|requires? .{1,40} to be installed|is not installed",
    ),
    Rule(
        "token mismatch",
        "the prompt has another number of image, audio or video placeholder tokens than features: the sizes of "
        "inputs and processor in the recipe must agree",
        r"(image|audio|video|speech) (features|tokens|token).{0,80}(do not match|mismatch|features)"
        r"|mismatch in .{0,20}token count|number of (image|audio|video)s? .{0,40}(placeholders?|tokens)"
        r"|placeholder token",
    ),
    Rule(
        "unsupported operator",
        "the backend has no kernel or conversion for this operator",
        r"not implemented for ['\"](half|bfloat16|float|long|int|bool|char|byte|double)|no kernel|unsupported op"
        r"|could not run 'aten::|no conversion rule|operator .{1,80} (is )?not (currently )?(supported|implemented)"
        r"|OpConversionFailure|not supported on (cpu|cuda|this device)",
    ),
    Rule(
        "export",
        "the exporter has no converter for this type, or its tracing failed",
        r"export|OnnxConfig|trace|dynamo|custom or unsupported architecture",
    ),
    Rule(
        "device",
        "tensors or kernels on different devices, or a device that is not there",
        r"same device|expected all tensors|cuda error|no cuda gpus|not compiled with cuda|invalid device"
        r"|found no nvidia driver|flash.?attn|AcceleratorError",
    ),
    Rule(
        "checkpoint",
        "what was saved is not what is loaded: keys missing or left over, or a broken file",
        r"safetensor|error\(s\) in loading state_dict|size mismatch for|missing keys?|unexpected keys?"
        r"|newly initialized|not used when initializing|shared memory|some tensors share|no file named .{1,80}found",
    ),
    Rule(
        "tokenizer or processor",
        "the type's tokenizer, image processor, feature extractor or processor could not be made or used: "
        "its recipe may set its arguments",
        r"tokeniz|feature.?extractor|image.?processor|\bprocessor\b|chat template|vocab(ulary)?[ _]?file"
        r"|sentencepiece|merges\.txt|pad(ding)? token",
    ),
    Rule(
        "config validation",
        "the config refuses these values: the recipe must set values that agree with each other",
        r"StrictDataclass|ValidationError|must be divisible|divisible by|config(uration)?\b.{0,80}"
        r"(invalid|must|should|expected|required|unrecogni[sz]ed)|validation failed|num_attention_heads|hidden.size"
        r"|not a multiple of",
    ),
    Rule(
        "dtype mismatch",
        "tensors of different dtypes meet: look for a module kept in, or cast to, another precision",
        r"dtype|expected scalar type|same data type"
        r"|expected .{1,30} but (got|found) .{0,20}(float|half|double|int|long)",
    ),
    Rule(
        "shape mismatch",
        "sizes do not fit each other: the config's or the inputs' sizes in the recipe must agree",
        r"shapes? cannot be multiplied|size of tensor|must match|shape"
        r"|sizes of tensors|dimension|invalid for input of size"
        r"|expand\(|broadcast|stack expects|kernel size can't be greater|calculated padded input size|not enough values"
        r"|too many values|unpack",
    ),
    Rule(
        "index out of range",
        "an index beyond a table: token ids beyond the vocabulary, or positions beyond the longest sequence",
        r"^IndexError|index out of range|out of bounds|index .{1,40} is out",
    ),
    Rule(
        "missing attribute",
        "the object lacks what the caller expects: often a config that a composite model wraps, or a renamed field",
        r"^AttributeError|has no attribute",
    ),
    Rule("missing key", "a mapping lacks what the caller expects: a name in the config or a registry", r"^KeyError"),
    Rule(
        "wrong argument",
        "the class takes other inputs than the harness gave: a required one is missing, or one is too many",
        r"unexpected keyword argument|missing \d+ required|got multiple values|takes \d+ positional"
        r"|you (must|have to|should) (specify|provide|pass)|unrecognized (configuration|keyword)|is required"
        r"|cannot both be|at least one of",
    ),
    Rule("not implemented", "the type does not offer this", r"^NotImplementedError|not implemented"),
)  # fmt: skip


def rule_for(errors: Sequence[str], *, raised_by_harness: bool) -> Rule:
    """The first rule that fits the error, else one that fits its causes; each is ``Class: message``.

    An error of our own code is ours, unless it is a verdict, blames the machine, or is the refusal of a model's
    ``forward``, which is raised where it is called.
    """
    found = next((rule for error in errors for rule in RULES if rule.matches(error)), OTHER)
    if raised_by_harness and found.category not in _NOT_OURS and not any(map(_REFUSED.match, errors)):
        return HARNESS
    return found


_REFUSED: Final = re.compile(r"TypeError: \w+\.forward\(\) ")
_NOT_OURS: Final = frozenset({"wrong output", "fallback", "out-of-memory", "disk", "missing package", "hub"})
