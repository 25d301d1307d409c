"""The page of reasons names every code that an API documents, beside the reason that it leads to."""

import re
from pathlib import Path

import pytest

from bek_operator.crd.reasons import Reason
from bek_operator.whatsapp.cloud import codes as cloud_codes
from bek_operator.whatsapp.error_classes import RATE_LIMITED
from bek_operator.whatsapp.on_premises import errors as on_premises_errors

PAGE = (Path(__file__).parents[3] / "docs" / "reasons.md").read_text(encoding="utf-8")
ROWS = {reason: row for row in PAGE.splitlines() for reason in re.findall(r"^\| `(\w+)` \|", row)}

CODES = [
    *((code, error_class.reason) for code, error_class in on_premises_errors.CODES.items()),
    *((code, error_class.reason) for code, error_class in cloud_codes.CODES.items()),
    *((code, error_class.reason) for (code, _), error_class in cloud_codes.SUBCODES.items()),
    *((code, error_class.reason) for code, error_class in cloud_codes.ON_PUBLISH.items()),
    (cloud_codes.PARAMETER, cloud_codes.PROOF_REQUIRED.reason),
    (cloud_codes.PARAMETER, cloud_codes.PROOF_REFUSED.reason),
    (cloud_codes.PARAMETER, cloud_codes.NOT_ELIGIBLE.reason),
    (cloud_codes.PERMISSIONS[0], cloud_codes.PERMISSION.reason),
    (cloud_codes.PERMISSIONS[-1], cloud_codes.PERMISSION.reason),
    (cloud_codes.BUSINESS_LIMITS[0], RATE_LIMITED.reason),
    (cloud_codes.BUSINESS_LIMITS[-1], RATE_LIMITED.reason),
]


@pytest.mark.parametrize(("code", "reason"), sorted(set(CODES)))
def test_a_code_is_named_beside_its_reason(code: int, reason: Reason) -> None:
    """Whoever looks a reason up finds the code of the message."""
    assert re.search(rf"\b{code}\b", ROWS[reason])


def test_no_code_is_named_that_nobody_knows() -> None:
    """Numbers on the page are codes of the tables, statuses of HTTP, or something else altogether."""
    known = {str(code) for code, _ in CODES} | {"401", "403", "404", "422", "2048", "2025"}
    known |= {"421", "427", "432", "256", "400", "408", "429", "500", "502", "503"}  # of Flow endpoints
    found = {number for row in ROWS.values() for number in re.findall(r"\b[0-9]{3,}\b", row)}
    assert found <= known
