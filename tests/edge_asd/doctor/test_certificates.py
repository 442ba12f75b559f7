"""The dates of a certificate are those that are in it."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.certificates import Authority

from edge_asd.doctor.certificates import examine_dates, validities, validity_of
from edge_asd.doctor.findings import Status

DAY_S = 86400.0


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("dates") / "authority")


@pytest.mark.parametrize(
    ("begins", "ends", "status", "word"),
    [
        (-1, 365, Status.OK, "valid until"),
        (-1, 3, Status.WARNING, "expires on"),
        (-3, -1, Status.FAILED, "expired on"),
        (1, 3, Status.FAILED, "not valid before"),
        (-1, 365 * 40, Status.OK, "valid until"),  # beyond 2049 dates are written differently
    ],
)
def test_a_certificate_is_judged_by_its_dates(authority, begins, ends, status, word):
    path, _ = authority.issue("broker", begins_days=begins, ends_days=ends)
    now_s = time.time()
    finding = examine_dates("mqtt.cert_file", path, now_s)
    assert (finding.status, finding.exit_code) == (status, 78 if status is Status.FAILED else 0)
    assert word in finding.text
    assert bool(finding.remedy) == (status is not Status.OK)
    (validity,) = validities(path)
    assert validity.begins_s == pytest.approx(now_s + begins * DAY_S, abs=120)
    assert validity.ends_s == pytest.approx(now_s + ends * DAY_S, abs=120)


def test_of_several_certificates_the_first_to_end_decides(authority, tmp_path):
    good, _ = authority.issue("good")
    bad, _ = authority.issue("bad", begins_days=-3, ends_days=-1)
    chain = tmp_path / "chain.pem"
    chain.write_text(good.read_text() + bad.read_text())
    assert examine_dates("mqtt.ca_file", chain, time.time()).status is Status.FAILED


def test_what_is_no_certificate_is_said_to_be_none(tmp_path):
    path = tmp_path / "x.pem"
    assert "No such file" in examine_dates("mqtt.ca_file", path, 0.0).text
    path.write_text("hello")
    assert "no certificate" in examine_dates("mqtt.ca_file", path, 0.0).text


@given(st.binary(max_size=200))
def test_no_bytes_are_taken_for_a_certificate_by_accident(data):
    with pytest.raises(ValueError, match=r"."):
        validity_of(data)
