"""Timing waits for the device: a figure without that would be the time to ask, not the time to do."""

from harness.cell import measure


class Device:
    """Does what it is asked only when it is waited for, as a GPU may."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def ask(self) -> None:
        self.events.append("ask")

    def synchronise(self) -> None:
        self.events.append("wait")


def test_every_measured_call_is_waited_for_before_and_after() -> None:
    device = Device()
    found = measure.latency(device.ask, device.synchronise, measure.Rule(warmup=2, iterations=3))
    assert device.events == ["wait", "ask", "wait"] * 5
    assert (found.warmup, found.iterations, len(found.raw)) == (2, 3, 3)


def test_what_was_asked_before_a_block_is_waited_for_outside_of_it() -> None:
    device = Device()
    with measure.timed(device.synchronise) as watch:
        device.ask()
    assert device.events == ["wait", "ask", "wait"]
    assert watch.seconds > 0


def test_a_slow_call_is_measured_as_often_as_there_is_time_and_no_less_than_the_rule_says() -> None:
    device = Device()
    rule = measure.Rule(warmup=2, iterations=20, seconds=1e-9, least=3)  # any call takes longer
    found = measure.latency(device.ask, device.synchronise, rule)
    assert (found.warmup, found.iterations) == (1, 3)
