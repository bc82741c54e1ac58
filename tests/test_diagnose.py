"""Failures explain themselves: the frame that tells, the category, and one signature for one cause."""

import signal
import traceback
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.diagnose import (
    LOG_LIMIT,
    MESSAGE_LIMIT,
    SIGNATURE_LIMIT,
    TRACEBACK_LIMIT,
    Death,
    diagnose,
    diagnose_death,
    signature,
    useful_frame,
)
from harness.diagnose_rules import Category, rule_for
from harness.records import Failure

SITE = "/env/lib/python3.12/site-packages"


def raised(call: Callable[[], object]) -> BaseException:
    with pytest.raises(BaseException) as caught:  # noqa: PT011 -- whatever the call raises
        call()
    return caught.value


def told(error: BaseException, log: str = "") -> Failure:
    return diagnose(error, "load", log)


def frames(*files: str) -> list[traceback.FrameSummary]:
    return [traceback.FrameSummary(file, 7, "f", lookup_line=False) for file in files]


# --- categories ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "category"),
    [
        ("RuntimeError: mat1 and mat2 shapes cannot be multiplied (2x64 and 32x64)", "shape mismatch"),
        ("RuntimeError: The size of tensor a (5) must match the size of tensor b (4)", "shape mismatch"),
        ("ValueError: not enough values to unpack (expected 4, got 3)", "shape mismatch"),
        ("AttributeError: 'BertConfig' object has no attribute 'vocab'", "missing attribute"),
        ("KeyError: 'text_config'", "missing key"),
        ("IndexError: index out of range in self", "index out of range"),
        ("ModuleNotFoundError: No module named 'timm'", "missing package"),
        ("ImportError: X requires the detectron2 library but it was not found", "missing package"),
        ("RuntimeError: expected scalar type Float but found Half", "dtype mismatch"),
        ("OSError: [Errno 28] No space left on device", "disk"),
        ("MemoryError: ", "out-of-memory"),
        ("RuntimeError: [enforce fail] DefaultCPUAllocator: can't allocate memory", "out-of-memory"),
        ("LocalEntryNotFoundError: cannot find the file", "hub"),
        ("OSError: We couldn't connect to 'https://huggingface.co' to load this file", "hub"),
        ("MismatchError: logits differ", "wrong output"),
        ("RuntimeError: \"slow_conv2d\" not implemented for 'Half'", "unsupported operator"),
        ("RuntimeError: Expected all tensors to be on the same device", "device"),
        ("TypeError: forward() missing 1 required positional argument: 'bbox'", "wrong argument"),
        ("ValueError: embed_dim must be divisible by num_heads", "config validation"),
        ("ValueError: Image features and image tokens do not match: tokens: 4, features 16", "token mismatch"),
        ("NotImplementedError: ", "not implemented"),
        ("Strange: what nobody has seen", "other"),
    ],
)
def test_an_error_has_the_category_that_tells_most(error: str, category: Category) -> None:
    assert rule_for([error], raised_by_harness=False).category == category


def test_an_error_of_our_own_code_is_ours_unless_it_blames_the_machine() -> None:
    assert rule_for(["KeyError: 'x'"], raised_by_harness=True).category == "harness"
    refused = "TypeError: BertModel.forward() missing 1 required positional argument: 'input_ids'"
    assert rule_for([refused], raised_by_harness=True).category == "wrong argument"
    assert rule_for(["MismatchError: x"], raised_by_harness=True).category == "wrong output"
    assert rule_for(["FallbackError: x"], raised_by_harness=True).category == "fallback"
    assert rule_for(["OSError: [Errno 28] No space left on device"], raised_by_harness=True).category == "disk"


def test_a_cause_tells_where_the_error_itself_does_not() -> None:
    def call() -> None:
        try:
            __import__("no_such_package")
        except ModuleNotFoundError as error:
            raise RuntimeError("it went wrong") from error

    failure = told(raised(call))
    assert (failure.error_class, failure.category) == ("RuntimeError", "missing package")
    assert "No module named 'no_such_package'" in (failure.traceback or "")


def test_what_was_suppressed_is_no_cause() -> None:
    def call() -> None:
        try:
            __import__("no_such_package")
        except ModuleNotFoundError:
            raise RuntimeError("it went wrong") from None

    assert told(raised(call)).category == "other"


# --- frames -------------------------------------------------------------------------------------------

MODEL = f"{SITE}/transformers/models/bert/modeling_bert.py"
NAMED_TORCH = f"/opt/torch{MODEL}"  # an environment in a folder with a library's name


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (("/app/harness/cell/load.py", MODEL, f"{SITE}/torch/nn/modules/linear.py"), MODEL),
        (("/app/harness/cell/load.py", MODEL, f"{SITE}/transformers/utils/generic.py"), MODEL),
        (("/app/harness/cell/load.py", f"{SITE}/transformers/utils/hub.py"), f"{SITE}/transformers/utils/hub.py"),
        (("/app/harness/cell/load.py", NAMED_TORCH, f"/opt/torch{SITE}/torch/nn/modules/linear.py"), NAMED_TORCH),
        (("/app/harness/cell/load.py", f"{SITE}/torch/nn/functional.py"), "/app/harness/cell/load.py"),
        ((MODEL, "/app/harness/cell/hooks.py", f"{SITE}/torch/x.py"), "/app/harness/cell/hooks.py"),
        (
            ("/app/harness/cell/load.py", "/home/me/model.py", "/usr/lib/python3.12/json/decoder.py"),
            "/home/me/model.py",
        ),
    ],
)
def test_the_frame_is_the_innermost_that_tells_people_something(files: tuple[str, ...], expected: str) -> None:
    found = useful_frame(frames(*files))
    assert found is not None
    assert found.filename == expected


def test_where_there_is_only_machinery_there_is_no_frame() -> None:
    assert useful_frame(frames("<frozen importlib>", f"{SITE}/torch/x.py")) is None
    assert useful_frame([]) is None


# --- signatures ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("shapes cannot be multiplied (2x64 and 32x64)", "shapes cannot be multiplied (1x128 and 96x16)"),
        ("cannot open /tmp/a-1/model.safetensors", "cannot open /home/x/y/model.safetensors"),
        ("<object at 0x7f12ab>", "<object at 0x55aa01>"),
        ("BertForMaskedLM has no head", "GPT2LMHeadModel has no head"),
        ("index 512 is out of bounds", "index 7 is out of bounds"),
    ],
)
def test_names_numbers_paths_and_addresses_do_not_part_one_cause(one: str, other: str) -> None:
    assert signature("E", one, "forward") == signature("E", other, "forward")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("object has no attribute 'vocab_size'", "object has no attribute 'pad_token_id'"),
        ("No module named 'timm'", "No module named 'detectron2'"),
        ("got an unexpected keyword argument 'bbox'", "got an unexpected keyword argument 'pixel_mask'"),
    ],
)
def test_the_quoted_word_that_is_the_cause_parts_two(one: str, other: str) -> None:
    assert signature("E", one, "forward") != signature("E", other, "forward")


def test_an_error_in_another_function_is_another_cause() -> None:
    assert signature("E", "m", "forward") != signature("E", "m", "__init__")


# --- deaths -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("death", "number", "error_class", "category"),
    [
        ("signal", signal.SIGSEGV, "SIGSEGV", "crash"),
        ("signal", 99, "signal 99", "crash"),
        ("exit", 3, "Exit", "crash"),
        ("timeout", 0, "Timeout", "timeout"),
        ("memory", 0, "OutOfMemory", "out-of-memory"),
        ("kernel memory", 0, "OutOfMemory", "out-of-memory"),
    ],
)
def test_a_death_says_how_and_in_which_stage(death: Death, number: int, error_class: str, category: Category) -> None:
    failure = diagnose_death(death, stage="load", number=number)
    assert (failure.error_class, failure.category) == (error_class, category)
    assert "'load'" in failure.message


def test_the_frame_of_a_crash_comes_from_what_faulthandler_printed() -> None:
    log = (
        "Fatal Python error: Segmentation fault\n\nCurrent thread 0x00007f (most recent call first):\n"
        f'  File "{SITE}/torch/nn/modules/conv.py", line 10 in forward\n'
        f'  File "{MODEL}", line 412 in embed\n'
        '  File "/app/harness/cell/load.py", line 3 in run\n'
    )
    failure = diagnose_death("signal", stage="first inference", number=signal.SIGSEGV, log=log)
    assert failure.frame == "transformers/models/bert/modeling_bert.py:412 in embed"
    assert failure.signature == "SIGSEGV in embed"


def test_the_same_death_is_one_cluster_whatever_the_limits() -> None:
    one = diagnose_death("timeout", stage="load", limit_seconds=10)
    other = diagnose_death("timeout", stage="load", limit_seconds=99)
    assert one.signature == other.signature
    assert one.message != other.message


# --- sizes and hostile text ---------------------------------------------------------------------------


def test_what_is_long_is_cut_and_its_end_kept() -> None:
    failure = told(ValueError("a" * 100_000 + "END"), log="b" * 10**6 + "END")
    assert len(failure.message) < MESSAGE_LIMIT + 100
    assert failure.message.endswith("END")
    assert failure.log is not None
    assert len(failure.log) < LOG_LIMIT + 100
    assert failure.log.endswith("END")
    assert len(failure.traceback or "") < TRACEBACK_LIMIT + 100


@given(st.text(st.characters(exclude_categories=())), st.text(st.characters(exclude_categories=())))
def test_whatever_an_exception_says_its_failure_can_be_written_down(message: str, log: str) -> None:
    failure = told(RuntimeError(message), log)
    failure.to_json().encode()
    assert failure.message
    assert "\n" not in failure.signature
    assert len(failure.signature) < SIGNATURE_LIMIT + 100


def test_an_exception_whose_words_cannot_be_had_is_told_all_the_same() -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise ValueError("no words")

    failure = told(MuteError())
    assert failure.error_class == "MuteError"
    assert failure.message
