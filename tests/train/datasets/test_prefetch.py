"""Batches made ahead are the same batches."""

from __future__ import annotations

import threading
from contextlib import closing

import numpy as np
import pytest
import torch

from edge_asd.errors import DataError
from edge_asd_train.augment.draws import uniform
from edge_asd_train.datasets.batches import Batches
from edge_asd_train.datasets.prefetch import Prefetch

CPU = torch.device("cpu")


@pytest.mark.parametrize("steps", [range(7), [3, 4, 5], [0, 1, 0, 5, 6, 2]])
def test_batches_are_those_of_their_steps_in_whatever_order(store, recipe, steps):
    batches, twin = Batches(store, recipe), Batches(store, recipe)
    with closing(Prefetch(batches, CPU)) as ahead:
        for step in steps:
            torch.testing.assert_close(ahead.at(step), twin.at(step), rtol=0, atol=0)
            want = uniform(6, twin.draws(step))
            torch.testing.assert_close(uniform(6, ahead.draws(step)), want, rtol=0, atol=0)


def test_no_more_than_one_batch_is_made_ahead_on_the_processor(store, recipe):
    asked, made = [], threading.Event()

    class Counted(Batches):
        def at(self, step):
            asked.append(step)
            if step == 5:
                made.set()
            return super().at(step)

    with closing(Prefetch(Counted(store, recipe), CPU)) as ahead:
        ahead.at(3)
        ahead.at(4)
        assert made.wait(60)
    assert asked == [3, 4, 5]


def test_many_threads_make_the_same_batches(store, recipe):
    batches, twin = Batches(store, recipe), Batches(store, recipe)
    made = {}

    def work(steps):
        for step in steps:
            made[step] = batches.at(step)

    orders = np.random.default_rng(0).permutation(40).reshape(4, 10).tolist()
    threads = [threading.Thread(target=work, args=(order,)) for order in orders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for step in range(40):
        torch.testing.assert_close(made[step], twin.at(step), rtol=0, atol=0)


def test_an_error_while_a_batch_is_made_reaches_who_asks_for_it(store, recipe):
    class Broken(Batches):
        def at(self, step):
            if step == 1:
                raise DataError("clip 7 is gone")
            return super().at(step)

    with closing(Prefetch(Broken(store, recipe), CPU)) as ahead:
        ahead.at(0)
        with pytest.raises(DataError, match="clip 7"):
            ahead.at(1)
    assert not [t for t in threading.enumerate() if t.name.startswith("batches")]
