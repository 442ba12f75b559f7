"""The daemon stays away for as long as was said, or until it is called back."""

from __future__ import annotations

from edge_asd.publish.absence import Absence


def test_it_ends_by_itself_or_earlier():
    now_s = [100.0]
    absence = Absence(lambda: now_s[0])
    assert not absence.lasts
    absence.begin(5.0)
    assert absence.lasts
    now_s[0] += 5.0
    assert not absence.lasts
    absence.begin(5.0)
    absence.end()
    assert not absence.lasts
