"""Why a cell did not pass: an exception or a death, turned into a ``Failure`` that explains itself.

Pure: no torch, no transformers, nothing is asked of the machine. It is imported in the children too.
"""

import re
import signal
import traceback
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal

from harness.device_faults import fault_in
from harness.diagnose_rules import Rule, rule_for
from harness.records import Failure, Stage
from harness.text import bounded, clean, first_line

MESSAGE_LIMIT: Final = 4_000
TRACEBACK_LIMIT: Final = 16_384
LOG_LIMIT: Final = 16_384
SIGNATURE_LIMIT: Final = 300

Death = Literal["exit", "signal", "timeout", "memory", "kernel memory"]


def diagnose(error: BaseException, stage: Stage, log: str = "") -> Failure:
    """What an exception says of its cell. ``log`` is what the child printed."""
    return diagnose_traceback(traceback.TracebackException.from_exception(error), stage, log)


def diagnose_traceback(found: traceback.TracebackException, stage: Stage, log: str = "") -> Failure:
    """The same from the parts of an exception."""
    error_class = _class_of(found)
    message = clean(str(found)) or error_class
    frame = useful_frame(found.stack)
    causes = [f"{_class_of(one)}: {clean(str(one))}" for one in _chain(found)]
    fault = fault_in(causes)
    ours = frame is not None and _is_harness(frame.filename)
    rule = fault.rule if fault else rule_for(causes, raised_by_harness=ours)
    return Failure(
        error_class=error_class,
        message=bounded(message, MESSAGE_LIMIT),
        frame=_shown(frame) if frame else None,
        category=rule.category,
        hint=rule.hint,
        signature=signature(error_class, message, frame.name if frame else stage),
        traceback=bounded(clean("".join(found.format())), TRACEBACK_LIMIT),
        log=_log(log),
    )


def diagnose_death(
    death: Death,
    *,
    stage: Stage,
    number: int = 0,
    limit_seconds: float | None = None,
    limit_bytes: int | None = None,
    log: str = "",
) -> Failure:
    """Why a child did not live to say it itself.

    ``number`` is the signal, or the exit code of a child that ended without a word. The limits are those that
    stood when it died.
    """
    log = clean(log)
    frame = _dying_frame(log)
    name = _signal_name(number)
    match death:
        case "timeout":
            limit = f" of {limit_seconds:g} s" if limit_seconds is not None else ""
            told = f"still in stage '{stage}' at the limit{limit}"
            error_class, rule = "Timeout", _TIMEOUT
        case "memory":
            told = f"more private memory than its share{_size(limit_bytes)}, in stage '{stage}'"
            error_class, rule = "OutOfMemory", _MEMORY
        case "kernel memory":
            told = f"killed by the kernel for memory, with a limit{_size(limit_bytes)}, in stage '{stage}'"
            error_class, rule = "OutOfMemory", _MEMORY
        case "signal":
            told = f"ended by {name} in stage '{stage}'"
            error_class, rule = name, _SIGNALS.get(number, _CRASH)
        case "exit":
            told = f"the process ended by itself with exit code {number}, without a verdict, in stage '{stage}'"
            error_class, rule = "Exit", _EXIT
    return Failure(
        error_class=error_class,
        message=told,
        frame=frame,
        category=rule.category,
        hint=rule.hint,
        # Not the limits and not the times: the same death is one cluster on every machine.
        signature=f"{error_class} in {frame.rpartition(' in ')[2] if frame else stage}",
        log=_log(log),
    )


# --- deaths -------------------------------------------------------------------------------------------

_TIMEOUT: Final = Rule("timeout", "a hang, or too slow for the limit: run it alone with a larger --timeout to tell")
_MEMORY: Final = Rule("out-of-memory", "give it more: fewer --jobs, or higher memory limits in matrix.toml")
_CRASH: Final = Rule("crash", "native code crashed: the log shows Python's last frames where it could write them")
_EXIT: Final = Rule("crash", "something called exit(), or a native library did: the end of the log may say which")
_SIGNALS: Final[Mapping[int, Rule]] = {
    signal.SIGSEGV: _CRASH,
    signal.SIGABRT: Rule("crash", "a native library aborted on a broken assumption: the end of the log says which"),
    signal.SIGILL: Rule("crash", "an instruction that this processor lacks: the package was built for a newer one"),
    signal.SIGBUS: Rule(
        "crash", "a file that was cut while mapped, or shared memory that ran out (shm in matrix.toml)"
    ),
    signal.SIGFPE: Rule("crash", "native code divided by zero: look at sizes of 0 in the config"),
    signal.SIGKILL: Rule("crash", "someone killed it from outside, and not for memory as far as the kernel says"),
    signal.SIGTERM: Rule("crash", "someone asked it to end from outside: was the machine shutting down?"),
}
_FAULT_FRAME: Final = re.compile(r'^  File "([^"\n]+)", line (\d+) in (\S+)', re.MULTILINE)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _size(limit: int | None) -> str:
    return "" if limit is None else f" of {limit / 2**20:,.0f} MiB"


def _dying_frame(log: str) -> str | None:
    """The last useful frame that faulthandler printed, where it did; it prints the innermost first."""
    frames = [
        traceback.FrameSummary(file, int(line), name, lookup_line=False)
        for file, line, name in _FAULT_FRAME.findall(log)
    ]
    frame = useful_frame(list(reversed(frames)))
    return _shown(frame) if frame else None


# --- frames -------------------------------------------------------------------------------------------

# What a frame's file belongs to, told by the last of these folders in its path.
_MODEL_CODE: Final = ("transformers", "transformers_modules", "optimum", "timm", "diffusers", "peft", "openvino")
_MACHINERY: Final = re.compile(
    r"(site|dist)-packages/(torch|_pytest|pluggy)/|^<|/lib/python3[^/]*/(?!site-packages/|dist-packages/)"
)
# In transformers: wrappers that every call goes through and that say nothing of the model.
_WRAPPERS: Final = re.compile(r"/transformers/utils/|/transformers/(integrations/)?hub")


def useful_frame(frames: Sequence[traceback.FrameSummary]) -> traceback.FrameSummary | None:
    """The innermost frame that tells people something, or None.

    That is the last one in a model library, else in the user's or another library's code; ours where nothing
    else stands between it and the machinery (torch, importlib, the standard library).
    """
    told = [one for one in frames if not _MACHINERY.search(one.filename)]
    inner: list[traceback.FrameSummary] = []  # what was called by the harness, from the last frame of ours on
    for one in told:
        inner = [] if _is_harness(one.filename) else [*inner, one]
    models = [one for one in inner if _is_model_code(one.filename)]
    plain = [one for one in models if not _WRAPPERS.search(one.filename)]
    for choice in (plain, models, inner, told):
        if choice:
            return choice[-1]
    return None


def _is_harness(filename: str) -> bool:
    return "/harness/" in filename and "site-packages" not in filename


def _is_model_code(filename: str) -> bool:
    return any(f"/{name}/" in filename for name in _MODEL_CODE)


def _shown(frame: traceback.FrameSummary) -> str:
    """``transformers/models/bert/modeling_bert.py:412 in forward``: the same wherever it is installed."""
    file = frame.filename
    for anchor in ("/site-packages/", "/dist-packages/"):
        file = file.rpartition(anchor)[2]
    if _is_harness(file):
        file = "harness/" + file.rpartition("/harness/")[2]
    return clean(f"{file}:{frame.lineno} in {frame.name}")


# --- signatures ---------------------------------------------------------------------------------------

_PLACEHOLDERS: Final[Sequence[tuple[re.Pattern[str], str]]] = [
    (re.compile(pattern), placeholder)
    for pattern, placeholder in (
        (r"https?://\S+", "<url>"),
        # The quoted word that tells: a missing attribute, argument, module or key is its own cause.
        (r"(attribute|argument|module|named|parameter|option|key) [\"'`]([\w.]+)[\"'`]", r"\1 \2"),
        (r"[\"'`][^\"'`\n]{1,200}[\"'`]", "<name>"),
        (r"(?<![\w.])(?:~|\.{0,2})/[\w.+@~-]+(?:/[\w.+@~-]+)*/?", "<path>"),
        (r"\b0x[0-9a-fA-F]+\b", "<hex>"),
        (r"\b(?=[0-9a-f]*\d)[0-9a-f]{12,}\b", "<hex>"),
        (r"\b[A-Z]\w*(?:Model|Config|Tokenizer|Processor|Fast|FeatureExtractor|Output\w*|For[A-Z]\w+)\b", "<class>"),
        (r"\b\d+(?:x\d+)+\b", "<n>"),  # 2x64, as torch writes shapes
        (r"(?<![A-Za-z_\d])-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?", "<n>"),
        (r"<n>(?:\s*[,x]\s*<n>)+", "<n>"),
        (r"<name>(?:\s*,\s*<name>)+", "<name>"),
        (r"\s+", " "),
    )
]  # fmt: skip


def signature(error_class: str, message: str, function: str) -> str:
    """``RuntimeError in forward: mat<n> and …``: equal for failures of one cause, across types and machines."""
    words = normalised(message)
    return bounded(f"{error_class} in {function}: {words}", SIGNATURE_LIMIT).replace("\n", " ")


def normalised(message: str) -> str:
    """The message's first lines with names, numbers, paths and addresses as placeholders."""
    lines = [line.strip() for line in message.splitlines() if line.strip()][:3]
    text = first_line(" ".join(lines), limit=1_000)
    for pattern, placeholder in _PLACEHOLDERS:
        text = pattern.sub(placeholder, text)
    return text.strip()


# --- parts --------------------------------------------------------------------------------------------


def _class_of(found: traceback.TracebackException) -> str:
    # Python 3.13 keeps the name only; before, there is the class.
    name = getattr(found, "exc_type_str", None) or getattr(found.exc_type, "__name__", "Exception")
    return str(name).rpartition(".")[2]


def _chain(found: traceback.TracebackException) -> Iterator[traceback.TracebackException]:
    """The exception, then what caused it, innermost last."""
    seen: traceback.TracebackException | None = found
    while seen is not None:
        yield seen
        if seen.__cause__ is None and seen.__suppress_context__:
            return
        seen = seen.__cause__ or seen.__context__


def _log(log: str) -> str | None:
    return bounded(clean(log), LOG_LIMIT) or None
