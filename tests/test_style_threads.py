"""Explorers draw in threads of their own: what one draws does not depend on what another one restores."""

import threading

import matplotlib

from modeseek.bandit.figures.style import style


def test_two_threads_that_draw_leave_each_other_and_the_session_alone():
    before, seen, entered = dict(matplotlib.rcParams), [], threading.Event()

    def second() -> None:
        entered.set()
        with style():
            seen.append(matplotlib.rcParams["axes.spines.top"])

    with style():
        other = threading.Thread(target=second)
        other.start()
        entered.wait()
        other.join(timeout=0.2)
        assert seen == []  # it waits for its turn
        assert matplotlib.rcParams["axes.spines.top"] is False
    other.join()
    assert seen == [False]
    assert dict(matplotlib.rcParams) == before
