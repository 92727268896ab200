"""A sequence in a file: what is wrong with it, all at once, and what loading it does."""

import datetime as dt
import functools
import io
import shutil
from pathlib import Path

import pytest
import yaml
from django.core.management import CommandError, call_command

from campaigns import planning, sequences
from campaigns.models import Campaign, Step, Template
from campaigns.sequences import BadSequence
from tests.factories import (
    DAY,
    NOW,
    make_campaign,
    make_referral,
    make_referrer,
    make_target,
    make_tenant,
)
from whatsapp.models import Media, Message

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("media_folder")]

DEMO = Path(__file__).parents[2] / "demo"
load = functools.partial(sequences.load, now=NOW)


@pytest.fixture
def tenant():
    return make_tenant(variables={"offer": "-20 %"})


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "sequence"
    folder.mkdir()
    for name in ("day2.png", "guide.pdf", "relance-7-days.yaml"):
        shutil.copy(DEMO / name, folder)
    return folder


@pytest.fixture
def write(folder):
    """Write a sequence of two good days, with parts of it replaced."""

    def make(text=None, day=None, **top):
        document = {
            "name": "Relance",
            "default_language": "fr",
            "steps": [{"day": 1, "fr": "un {{name}}"}, {"day": 2, "fr": "deux", **(day or {})}],
            **top,
        }
        path = folder / "a.yaml"
        path.write_text(text if text is not None else yaml.safe_dump(document, allow_unicode=True))
        return path

    return make


def problems(path, tenant):
    with pytest.raises(BadSequence) as caught:
        load(path, tenant=tenant)
    assert not Campaign.objects.exists()
    return caught.value.problems


def test_the_demo_sequence_is_loaded_whole(tenant, folder):
    report = load(folder / "relance-7-days.yaml", tenant=tenant, activate=True)

    campaign = report.campaign
    assert (campaign.name, campaign.default_language, campaign.active) == (
        "Relance 7 jours", "fr", True,
    )  # fmt: skip
    assert campaign.first_delay == dt.timedelta(hours=1)
    steps = list(campaign.steps.all())
    assert [s.number for s in steps] == [1, 2, 3, 4, 5, 6, 7]
    assert [s.delay for s in steps] == [dt.timedelta(0)] + [DAY] * 6
    assert Template.objects.count() == 14
    files = dict(
        Template.objects.exclude(media=None).values_list("step__number", "media__filename")
    )
    assert files == {2: "day2.png", 4: "guide.pdf"}
    assert Template.objects.filter(step__number=2).exclude(media=None).count() == 2
    assert Template.objects.get(step__number=4, language="en").media is None


def test_loading_it_again_changes_nothing(tenant, folder):
    path = folder / "relance-7-days.yaml"
    load(path, tenant=tenant)
    before = [list(m.objects.order_by("id").values()) for m in (Campaign, Step, Template, Media)]

    report = load(path, tenant=tenant)

    assert (report.created, report.templates_written, report.templates_unchanged) == (False, 0, 14)
    after = [list(m.objects.order_by("id").values()) for m in (Campaign, Step, Template, Media)]
    assert after == before


def test_what_is_no_longer_in_the_file_is_switched_off_or_goes(tenant, write):
    load(write(day={"en": "two"}, steps=[
        {"day": 1, "fr": "un", "en": "one"}, {"day": 2, "fr": "deux", "en": "two"},
    ]), tenant=tenant)  # fmt: skip

    report = load(write(steps=[{"day": 1, "fr": "nouveau"}]), tenant=tenant)

    assert report.steps_switched_off == 1
    assert not Step.objects.get(number=2).active
    assert list(Template.objects.filter(step__number=1).values_list("language", "body")) == [
        ("fr", "nouveau")
    ]


def test_days_may_leave_gaps_and_be_shortened(tenant, write):
    steps = [{"day": n, "fr": "x"} for n in (1, 3, 7)]
    load(
        write(steps=steps),
        tenant=tenant,
        step_delay=dt.timedelta(seconds=5),
        first_delay=dt.timedelta(0),
    )
    delays = Step.objects.order_by("number").values_list("delay", flat=True)
    assert [d.total_seconds() for d in delays] == [0, 10, 20]
    assert Campaign.objects.get().first_delay == dt.timedelta(0)


def test_activating_one_switches_the_other_off(tenant, write):
    old = make_campaign(tenant, days=1)
    report = load(write(), tenant=tenant, activate=True)
    assert report.deactivated == old.name
    assert Campaign.objects.get(active=True).name == "Relance"


def test_another_tenants_sequence_is_another(tenant, write):
    path = write()
    load(path, tenant=tenant)
    load(path, tenant=make_tenant())
    assert Campaign.objects.count() == 2


def test_a_new_text_releases_those_who_waited_for_it(tenant, write):
    load(write(), tenant=tenant, activate=True)
    Template.objects.filter(step__number=1).delete()
    target = make_target(make_referral(make_referrer(tenant)))
    planning.plan(now=NOW)
    target.refresh_from_db()
    assert target.hold == "template"

    load(write(), tenant=tenant)

    assert planning.plan(now=NOW + dt.timedelta(minutes=5)).queued == 1
    assert Message.objects.get().body == "un Zoé"


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({"day": {"fr": "{{nom}}"}}, "a.yaml: day 2, fr: unknown variable {{nom}}"),
        ({"day": {"fr": "{{name}"}}, "a.yaml: day 2, fr: {{ at"),
        ({"day": {"fr": " "}}, "a.yaml: day 2, fr: the text is empty"),
        ({"day": {"fr": 12}}, "a.yaml: day 2, fr: the text must be a text: quote it"),
        ({"day": {"fr": "x" * 5000}}, "a.yaml: day 2, fr: the text is longer than"),
        ({"day": {"en": "two"}}, "a.yaml: day 1, en: the text is missing"),
        ({"default_language": "en"}, "a.yaml: day 1, en: the text is missing (the default)"),
        ({"day": {"French": "x"}}, "a.yaml: day 2: “French” is neither a field nor a language"),
        ({"day": {"day": 1}}, "a.yaml: day 1: the day is there twice"),
        ({"day": {"day": 0}}, "a.yaml: step 2: day must be a whole number from 1 to 365"),
        ({"day": {"day": "two"}}, "a.yaml: step 2: day must be a whole number"),
        ({"day": {"day": True}}, "a.yaml: step 2: day must be a whole number"),
        ({"day": {"active": "no"}}, "a.yaml: day 2: active must be true or false"),
        ({"steps": [{"day": 2, "fr": "x"}]}, "a.yaml: day 1 is missing"),
        ({"steps": []}, "a.yaml: steps is missing, or no list"),
        ({"steps": [{"day": 1}]}, "a.yaml: day 1: there is no text in any language"),
        ({"name": ""}, "a.yaml: name is missing"),
        ({"name": "x" * 121}, "a.yaml: name is longer than 120 characters"),
        ({"colour": "red"}, "a.yaml: unknown field “colour”"),
        ({"day": {"media": "day2.png"}}, "a.yaml: day 2, media: write {type: image"),
        (
            {"day": {"media": {"type": "image", "file": "gone.png"}}},
            "a.yaml: day 2, media: there is no file gone.png beside the sequence",
        ),
        (
            {"day": {"media": {"type": "image", "file": "../../etc/passwd"}}},
            "a.yaml: day 2, media: ../../etc/passwd lies outside the folder",
        ),
        (
            {"day": {"media": {"type": "image", "file": "/etc/passwd"}}},
            "a.yaml: day 2, media: /etc/passwd lies outside the folder",
        ),
        (
            {"day": {"media": {"type": "film", "file": "day2.png"}}},
            "a.yaml: day 2, media: type must be one of image",
        ),
        (
            {"day": {"media": {"type": "image", "file": "guide.pdf"}}},
            "a.yaml: day 2, fr, media: the file is a PDF",
        ),
        (
            {"day": {"media": {"type": "image", "file": "day2.png", "language": "en"}}},
            "a.yaml: day 2, media: there is no text in “en” for this file",
        ),
        (
            {"day": {"media": [{"type": "image", "file": "day2.png"}] * 2}},
            "a.yaml: day 2, media: two files for “fr”",
        ),
    ],
)
def test_what_is_wrong_names_file_day_language_and_field(tenant, write, document, problem):
    found = problems(write(**document), tenant)
    assert any(one.startswith(problem) for one in found), found


def test_everything_that_is_wrong_is_said_at_once(tenant, write):
    steps = [{"day": 1, "fr": "{{x}}"}, {"day": 2, "fr": "{{y}}"}]
    assert len(problems(write(steps=steps, colour="red"), tenant)) == 3


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("name: [", "a.yaml: not YAML (line 1)"),
        ("- 1", "a.yaml: must hold name"),
        ("", "a.yaml: must hold name"),
        ("a: !!python/object/apply:os.system [id]", "a.yaml: not YAML"),
        ("[" * 5000, "a.yaml: not YAML"),
        ("x: " + "y" * 1_100_000, "a.yaml: larger than a megabyte"),
    ],
)
def test_a_file_that_is_no_sequence_is_refused(tenant, write, text, problem):
    assert problems(write(text), tenant)[0].startswith(problem)


def test_a_tenants_own_variables_may_be_used(tenant, write):
    path = write(day={"fr": "{{offer}}"})
    assert load(path, tenant=tenant).steps == 2
    with pytest.raises(BadSequence, match=r"unknown variable \{\{offer"):
        load(path, tenant=make_tenant())


# ------------------------------------------------------------------------------ the command


def test_the_command_loads_and_activates(tenant, folder):
    out = io.StringIO()
    call_command(
        "load_sequence",
        str(folder / "relance-7-days.yaml"),
        "--tenant", tenant.slug, "--activate", "--step-delay", "5", "--first-delay", "0",
        stdout=out,
    )  # fmt: skip
    assert "created “Relance 7 jours”: 7 steps, 14 texts written, 0 unchanged; active" in (
        out.getvalue()
    )
    assert Step.objects.get(number=2).delay == dt.timedelta(seconds=5)


def test_the_command_tells_what_is_wrong_and_ends_with_status_2(tenant, write):
    err = io.StringIO()
    with pytest.raises(CommandError) as caught:
        call_command("load_sequence", str(write(name="")), "--tenant", tenant.slug, stderr=err)
    assert caught.value.returncode == 2
    assert "a.yaml: name is missing" in err.getvalue()


@pytest.mark.parametrize("text", ["-1", "soon", "nan", "1e30"])
def test_the_command_refuses_delays_that_are_none(tenant, write, text):
    with pytest.raises(CommandError):
        call_command("load_sequence", str(write()), "--tenant", tenant.slug, f"--step-delay={text}")
