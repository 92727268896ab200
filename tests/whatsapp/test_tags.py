"""Words that people put on contacts and groups."""

import pytest

from whatsapp import tags


def test_tags_are_lower_case_each_once():
    assert tags.read(["VIP", " vip ", "", "Été  2026", "lyon"]) == ["vip", "été 2026", "lyon"]


@pytest.mark.parametrize("words", [["x" * 41], ["a,b"], ["a;b"], [str(n) for n in range(51)]])
def test_what_is_no_tag_is_refused(words):
    with pytest.raises(tags.BadTag):
        tags.read(words)
