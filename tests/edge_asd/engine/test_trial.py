"""Given what engines cost, the choice is the same every time, and a change has its reason."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_asd.engine.timing import interleaved
from edge_asd.engine.trial import Trial, decide

MB = 10**6
FREE = 2000 * MB


def trial(name, precision, ms, mb=100):
    window_s = None if ms is None else ms / 1e3
    refused = "misses golden vector 0" if ms is None else ""
    fields = {"window_s": window_s, "memory_bytes": mb * MB, "refused": refused}
    return Trial(name=name, precision=precision, **fields)


def trials(default, fp32, bf16, mb=100):
    return [
        trial("onnxruntime", "fp32", default, 20),
        trial("openvino", "fp32", fp32, mb),
        trial("openvino", "bf16", bf16, mb),
    ]


def chosen(tried, hop_s=1.0, free=FREE):
    candidate, _ = decide(tried, hop_s=hop_s, available_bytes=free)
    return str(candidate)


def test_the_fastest_is_chosen_and_both_figures_are_told():
    candidate, reason = decide(trials(9.4, 8.0, 3.1), hop_s=1.0, available_bytes=FREE)
    assert str(candidate) == "openvino bf16"
    assert reason == "3.1 ms a window, onnxruntime fp32 9.4 ms"


@pytest.mark.parametrize(
    ("costs", "settings", "why"),
    [
        ((9.4, 9.0, 8.6), {}, "9.4 ms a window, openvino bf16 8.6 ms"),
        ((0.5, 0.4, 0.3), {}, "not worth 100 MB"),
        ((9.4, 8.0, 3.1), {"free": 300 * MB}, "takes 100 MB of 300 MB that are free"),
        ((9.4, None, None), {}, "openvino bf16 refused: misses golden vector 0"),
    ],
    ids=["not much faster", "nothing to gain", "too much memory", "refused"],
)
def test_the_default_stays_where_a_change_is_not_worth_it_and_says_so(costs, settings, why):
    candidate, reason = decide(
        trials(*costs), hop_s=1.0, available_bytes=settings.get("free", FREE)
    )
    assert str(candidate) == "onnxruntime fp32"
    assert why in reason


def test_one_that_misses_the_golden_vectors_is_never_chosen():
    assert chosen(trials(9.0, 7.0, None)) == "openvino fp32"
    assert chosen(trials(9.0, None, 3.0)) == "openvino bf16"


def test_within_one_runtime_memory_is_no_reason():
    pair = [trial("openvino", "fp32", 0.5, 100), trial("openvino", "bf16", 0.3, 100)]
    assert chosen(pair, free=0) == "openvino bf16"


def test_what_a_gain_is_worth_depends_on_how_often_a_window_is_due():
    assert chosen(trials(0.8, 0.7, 0.3), hop_s=1.0) == "onnxruntime fp32"
    assert chosen(trials(0.8, 0.7, 0.3), hop_s=0.1) == "openvino bf16"


milliseconds = st.floats(0.01, 1e3)


@given(milliseconds, milliseconds, milliseconds, st.floats(0.01, 2.0), st.integers(0, FREE))
def test_a_change_always_saves_a_tenth_and_a_thousandth_of_a_core(default, fp32, bf16, hop_s, free):
    tried = trials(default, fp32, bf16)
    name = chosen(tried, hop_s, free)
    saved_ms = default - min(fp32, bf16)
    worth = saved_ms >= 0.1 * default and saved_ms >= hop_s and free >= 400 * MB
    if worth != (name != "onnxruntime fp32"):  # but for what floating point makes of a tie
        assert saved_ms == pytest.approx(max(0.1 * default, hop_s))
    assert chosen(tried, hop_s, free) == name


class Clock:
    """Time that passes only when something runs."""

    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        return self.now_s

    def run(self, costs):
        def spend():
            self.now_s += costs.pop(0) if len(costs) > 1 else costs[0]

        return spend


def test_a_burst_of_other_work_does_not_change_the_median():
    clock = Clock()
    runs = {"a": clock.run([1.0, 1.0, 50.0, 50.0, 1.0, 1.0]), "b": clock.run([2.0])}
    assert interleaved(runs, clock=clock, budget_s=0.1) == {"a": 1.0, "b": 2.0}


def test_it_takes_five_rounds_at_least_and_stops_when_its_time_is_over():
    clock = Clock()
    interleaved({"slow": clock.run([1.0])}, clock=clock, budget_s=0.4)
    assert clock.now_s == 5.0
    interleaved({"quick": clock.run([0.01])}, clock=clock, budget_s=0.4)
    assert clock.now_s == pytest.approx(5.4, abs=0.05)
