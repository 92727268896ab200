"""The texts of a whole campaign on one page: a form with a cell for each day and language."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, cast

from django import forms
from django.conf.locale import LANG_INFO
from django.db.models import Q
from django.http import QueryDict
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import (
    UnfoldAdminFileFieldWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from campaigns import texts
from campaigns.models import Campaign, Referral
from campaigns.models.content import ONE_DAY
from campaigns.previews import preview
from whatsapp import media
from whatsapp.models import Media

ROWS = 7  # shown at least
LAST_DAY = 365
MOST_LANGUAGES = 8
USUAL_LANGUAGES = ("fr", "en")


@dataclass(frozen=True, slots=True)
class Cell:
    """What the page shows of one day in one language."""

    day: int
    language: str
    text: forms.BoundField
    file: forms.BoundField
    drop: forms.BoundField
    kept: forms.BoundField
    media: Media | None
    preview: str
    problem: str


@dataclass(frozen=True, slots=True)
class Row:
    number: int
    active: forms.BoundField
    hours: forms.BoundField
    cells: list[Cell]


class ReferralForm(forms.Form):
    """Somebody of the campaign's company, by their id, to try texts on."""

    referral = forms.ModelChoiceField(
        label=gettext_lazy("Preview for"),
        queryset=Referral.objects.none(),
        to_field_name="external_id",
        required=False,
        widget=UnfoldAdminTextInputWidget,
        error_messages={
            "invalid_choice": gettext_lazy("Nobody has this id: choose one of the list.")
        },
    )

    def __init__(self, *args: Any, campaign: Campaign, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.campaign = campaign
        field = self.fields["referral"]
        assert isinstance(field, forms.ModelChoiceField)  # noqa: S101
        field.queryset = Referral.objects.filter(tenant=campaign.tenant_id).select_related(
            "tenant", "referrer__account__tenant"
        )
        # People are looked up while they are typed: nobody scrolls through a hundred thousand.
        field.widget.attrs |= {
            "list": "people",
            "autocomplete": "off",
            "placeholder": _("Id, name or phone"),
            "hx-get": reverse("admin:campaigns_campaign_people", args=[campaign.pk]),
            "hx-trigger": "input changed delay:250ms",
            "hx-target": "#people",
            "hx-params": "referral",
        }


def people(campaign: Campaign, text: str) -> list[Referral]:
    """Ten at most whose id, name or phone begins with `text`, the newest first."""
    text = text.replace("\x00", "").strip()[:100]
    if not text:
        return []
    wanted = Q(external_id__startswith=text) | Q(name__istartswith=text) | Q(phone__startswith=text)
    return list(Referral.objects.filter(wanted, tenant=campaign.tenant_id).order_by("-id")[:10])


class GridForm(ReferralForm):
    """Every text of a campaign. Valid, `days` is what the campaign shall say."""

    languages = forms.CharField(max_length=80, widget=forms.HiddenInput)
    version = forms.CharField(max_length=16, widget=forms.HiddenInput)

    def __init__(
        self, data: Any = None, files: Any = None, *, campaign: Campaign, now: dt.datetime
    ) -> None:
        super().__init__(data, files, campaign=campaign)
        self.now = now
        self.stored = {day.number: day for day in texts.read(campaign)}
        self.spoken = self._languages()
        # An empty row follows the last one, however long the sequence is.
        last = min(LAST_DAY, max(self.stored, default=0) + 1)
        self.numbers = sorted({*self.stored, *range(1, ROWS + 1), last})
        self.initial["languages"] = ",".join(self.spoken)
        self.initial["version"] = texts.version(
            list(self.stored.values()), campaign.default_language
        )
        for number in self.numbers:
            self._add_day(number)
        self.known_media = {
            file.pk: file for day in self.stored.values() for file in day.files.values()
        }

    def _languages(self) -> list[str]:
        used = {language for day in self.stored.values() for language in day.texts}
        wanted = set(str(self.data.get("languages", "")).split(",")) & LANG_INFO.keys()
        usual = set() if used or wanted else set(USUAL_LANGUAGES)
        default = self.campaign.default_language
        rest = sorted((used | wanted | usual) - {default})
        return [default, *rest][: max(MOST_LANGUAGES, len(used) + 1)]

    def _add_day(self, number: int) -> None:
        day = self.stored.get(number)
        delay = day.delay if day else dt.timedelta(0) if number == 1 else ONE_DAY
        self.fields[f"active-{number}"] = forms.BooleanField(required=False)
        self.fields[f"hours-{number}"] = forms.DecimalField(
            min_value=0,
            max_value=24 * LAST_DAY,
            decimal_places=6,
            required=False,
            widget=UnfoldAdminTextInputWidget(
                attrs={"inputmode": "decimal", "class": "hours", "aria-label": _("hours after")}
            ),
        )
        self.initial[f"active-{number}"] = day.active if day else True
        self.initial[f"hours-{number}"] = f"{_hours(delay):f}".rstrip("0").rstrip(".")
        for language in self.spoken:
            self._add_cell(number, language, day)

    def _add_cell(self, number: int, language: str, day: texts.Day | None) -> None:
        name = f"{number}-{language}"
        url = reverse("admin:campaigns_campaign_preview", args=[self.campaign.pk])
        label = _("Day %(day)d, %(language)s") % {"day": number, "language": language}
        self.fields[f"text-{name}"] = forms.CharField(
            required=False,
            strip=False,
            max_length=texts.LONGEST,
            label=label,
            widget=UnfoldAdminTextareaWidget(
                attrs={
                    "rows": 5,
                    "aria-label": label,
                    "lang": language,
                    "aria-describedby": f"preview-{name}",
                    "hx-post": f"{url}?cell={name}",
                    "hx-trigger": "input changed delay:400ms",
                    "hx-target": f"#preview-{name}",
                    "hx-params": f"text-{name},csrfmiddlewaretoken,referral",
                }
            ),
        )
        attrs = {"aria-label": _("File for %s") % label}
        self.fields[f"file-{name}"] = forms.FileField(
            required=False, widget=UnfoldAdminFileFieldWidget(attrs=attrs)
        )
        self.fields[f"drop-{name}"] = forms.BooleanField(required=False)
        self.fields[f"media-{name}"] = forms.IntegerField(
            required=False, min_value=1, max_value=2**62, widget=forms.HiddenInput
        )
        if day is not None:
            self.initial[f"text-{name}"] = day.texts.get(language, "")
            file = day.files.get(language)
            self.initial[f"media-{name}"] = file.pk if file else None

    # -------------------------------------------------------------------------- checking

    def clean(self) -> dict[str, Any]:
        """Every mistake at its cell; a file that is fine is kept although a text is not."""
        data: dict[str, Any] = self.cleaned_data
        self.days = [day for number in self.numbers if (day := self._day(number, data))]
        return data

    def _day(self, number: int, data: Mapping[str, Any]) -> texts.Day | None:
        stored = self.stored.get(number)
        delay = stored.delay if stored else ONE_DAY
        hours: Decimal | None = data.get(f"hours-{number}")
        if hours is not None and hours != _hours(delay):
            delay = dt.timedelta(microseconds=round(hours * 3_600_000_000))
        day = texts.Day(number, active=data.get(f"active-{number}", False), delay=delay)
        for language in self.spoken:
            name = f"{number}-{language}"
            # Browsers write line ends their own way.
            body = str(data.get(f"text-{name}") or "").replace("\r\n", "\n")
            file = self._file(name, data)
            if not body.strip():
                if file is not None:
                    self.add_error(f"text-{name}", _("Write the text that goes with the file."))
                continue
            if problem := texts.problem(body, self.campaign):
                self.add_error(f"text-{name}", problem)
            day.texts[language] = body
            if file is not None:
                day.files[language] = file
        if day.texts:
            return day
        if stored is not None and day.active and not self._in_error(number):
            self.add_error(
                f"text-{number}-{self.spoken[0]}",
                _("Write a text in one language at least, or switch the day off."),
            )
        return texts.Day(number, active=False, delay=delay) if stored else None

    def _in_error(self, number: int) -> bool:
        return any(f"text-{number}-{language}" in self.errors for language in self.spoken)

    def _file(self, name: str, data: Mapping[str, Any]) -> Media | None:
        upload = data.get(f"file-{name}")
        if upload:
            try:
                stored = media.store(
                    tenant=self.campaign.tenant,
                    data=upload.read(max(media.MAX_BYTES.values()) + 1),
                    filename=upload.name,
                )
            except media.BadMedia as error:
                self.add_error(f"file-{name}", str(error))
                return None
            # A page that comes back with a mistake elsewhere does not ask for the file again.
            self.known_media[stored.pk] = stored
            self._post(f"media-{name}", str(stored.pk))
            return stored
        if data.get(f"drop-{name}"):
            return None
        return self._kept(data.get(f"media-{name}"))

    def _kept(self, pk: int | None) -> Media | None:
        if pk is None:
            return None
        if pk not in self.known_media:
            found = Media.objects.filter(tenant=self.campaign.tenant_id, pk=pk).first()
            if found is None:
                return None
            self.known_media[pk] = found
        return self.known_media[pk]

    def _post(self, name: str, value: str) -> None:
        """As if `value` had been posted."""
        data = cast("QueryDict", self.data).copy()
        data[name] = value
        self.data = data

    def overwrite(self) -> None:
        """Somebody else saved meanwhile: say so, and let the next save win."""
        self._post("version", str(self.initial["version"]))
        self.add_error(
            None,
            _(
                "Somebody else changed these texts while you were writing. What you wrote is still "
                "here and not saved: look at theirs in another tab. Saving again replaces theirs."
            ),
        )

    # --------------------------------------------------------------------------- showing

    def rows(self, referral: Referral) -> Iterator[Row]:
        """What the page shows, with previews for `referral`."""
        for number in self.numbers:
            yield Row(
                number,
                self[f"active-{number}"],
                self[f"hours-{number}"],
                [self._cell(number, language, referral) for language in self.spoken],
            )

    def _cell(self, number: int, language: str, referral: Referral) -> Cell:
        name = f"{number}-{language}"
        body = str(self[f"text-{name}"].value() or "")
        shown, problem = preview(body, self.campaign, referral, self.now)
        kept = str(self[f"media-{name}"].value() or "")
        return Cell(
            number,
            language,
            self[f"text-{name}"],
            self[f"file-{name}"],
            self[f"drop-{name}"],
            self[f"media-{name}"],
            self._kept(int(kept)) if kept.isdecimal() and len(kept) < 19 else None,
            shown,
            problem or ("" if body.strip() else self._missing(number, language)),
        )

    def _missing(self, number: int, language: str) -> str:
        written = any(self[f"text-{number}-{one}"].value() for one in self.spoken)
        return _("“%s” is missing") % language if written else ""


def _hours(delay: dt.timedelta) -> Decimal:
    hours = Decimal(delay // dt.timedelta(microseconds=1)) / 3_600_000_000
    return hours.quantize(Decimal("0.000001"))
