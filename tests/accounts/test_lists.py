"""What somebody types to find a number, and which numbers it may be the beginning of."""

import pytest

from accounts import lists


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("06 39 98 00 01", {"+33639980001"}),
        ("0639980001", {"+33639980001"}),
        ("+33 6 39", {"+33639"}),
        ("0033 6.39-98", {"+3363998"}),
        ("33639", {"+33639"}),
        ("06 39", set()),  # too short to tell the country's number from another's
        ("Zoé", set()),
        ("", set()),
        ("1", set()),
        ("+", set()),
        ("9" * 40, set()),
        ("٣٣٦٣٩", set()),
        ("0639980001; DROP TABLE", set()),
    ],
)
def test_a_number_is_read_as_people_write_it(text, found):
    assert lists.numbers(text, regions=["FR"]) == found


def test_a_national_number_may_be_of_each_country_one_has_companies_in():
    assert lists.numbers("07700 900123", regions=["GB", "FR"]) >= {"+447700900123"}
