"""Contacts as callers send and get them."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.bodies import Body, Moment, Paging
from whatsapp import contacts
from whatsapp.api.groups import Tag, Tags
from whatsapp.models import ConsentEntry, Contact

BULK = 1_000
OBSTACLES = ["opted_out", "no_lawful_basis"]


class Language(serializers.RegexField):
    def __init__(self, **options: Any) -> None:
        super().__init__(
            rf"^{contacts.LANGUAGE}$", required=False, allow_blank=True, max_length=8, **options
        )


class ContactFilter(Paging):
    tag = Tag()
    source = serializers.ChoiceField(  # type: ignore[assignment]  # a field, by this name
        choices=Contact.Source.choices, required=False
    )
    obstacle = serializers.ChoiceField(
        choices=[*OBSTACLES, "none"],
        required=False,
        help_text="Why nobody may write to them; none: one may.",
    )
    language = serializers.CharField(required=False, max_length=8)
    group = serializers.IntegerField(required=False, min_value=0, max_value=2**63 - 1)
    engagementFrom = serializers.IntegerField(required=False, min_value=0, max_value=100)
    engagementTo = serializers.IntegerField(required=False, min_value=0, max_value=100)
    phone = serializers.CharField(required=False, max_length=60)
    search = serializers.CharField(required=False, max_length=100, help_text="How a name begins.")


class ContactBody(Body):
    """What is not named stays as it is."""

    name = serializers.CharField(required=False, allow_blank=True, max_length=200)
    language = Language()
    persona = serializers.CharField(required=False, allow_blank=True, max_length=80)
    tags = Tags(required=False)


class NewContact(ContactBody):
    phone = serializers.CharField(max_length=60, help_text="+33639980000, or as written there")


class BasisBody(Body):
    basis = serializers.ChoiceField(choices=Contact.LawfulBasis.choices)
    note = serializers.CharField(max_length=300, help_text="Where it comes from.")


class NoteBody(Body):
    note = serializers.CharField(required=False, default="", allow_blank=True, max_length=300)


class OptOutBody(Body):
    reason = serializers.CharField(required=False, default="", allow_blank=True, max_length=80)


class LawfulBasisAnswer(serializers.Serializer[Any]):
    basis = serializers.ChoiceField(source="lawful_basis", choices=Contact.LawfulBasis.choices)
    at = serializers.DateTimeField(source="lawful_basis_at")
    by = serializers.CharField(source="lawful_basis_by")
    note = serializers.CharField(source="lawful_basis_note")


class ContactAnswer(serializers.ModelSerializer[Contact]):
    phone = serializers.CharField(help_text="Empty: only the LID is known.")
    tags = serializers.ListField(child=serializers.CharField())
    source = serializers.ChoiceField(  # type: ignore[assignment]  # a field, by this name
        choices=[("", ""), *Contact.Source.choices]
    )
    sourceDetail = serializers.CharField(source="source_detail")
    engagement = serializers.IntegerField(allow_null=True, help_text="0 to 100; null: no message.")
    lawfulBasis = serializers.SerializerMethodField(
        help_text="Why one may write to them, who said so and when; null: nobody has."
    )
    obstacle = serializers.ChoiceField(
        choices=["", *OBSTACLES],
        help_text="Why nobody may write to them; empty: one may.",
    )
    optedOutAt = serializers.DateTimeField(source="opted_out_at", allow_null=True)
    optOutReason = serializers.CharField(source="opt_out_reason")
    onWhatsApp = serializers.BooleanField(source="on_whatsapp", allow_null=True)
    createdAt = serializers.DateTimeField(source="created_at")

    class Meta:
        model = Contact
        fields = [
            "id", "phone", "lid", "name", "language", "persona", "tags", "source", "sourceDetail",
            "engagement", "lawfulBasis", "obstacle", "optedOutAt", "optOutReason", "onWhatsApp",
            "createdAt",
        ]  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(LawfulBasisAnswer(allow_null=True))
    def get_lawfulBasis(self, contact: Contact) -> dict[str, Any] | None:  # noqa: N802
        return dict(LawfulBasisAnswer(contact).data) if contact.lawful_basis else None


class ConsentAnswer(serializers.ModelSerializer[ConsentEntry]):
    by = serializers.CharField(source="actor_name")

    class Meta:
        model = ConsentEntry
        fields = ["id", "at", "what", "how", "note", "by"]
        read_only_fields = fields


class TimelineFilter(Body):
    before = Moment(required=False, help_text="`at` of the last event of the page before.")
    limit = serializers.IntegerField(required=False, default=50, min_value=1, max_value=200)


class TimelineEvent(serializers.Serializer[Any]):
    at = serializers.DateTimeField()
    kind = serializers.ChoiceField(
        choices=["message", "incoming", "consent", "seen_in_group", "left_group", "record"]
    )
    what = serializers.CharField(help_text="A state, a kind, a role or what was done.")
    detail = serializers.CharField()
    by = serializers.CharField(help_text="The account, or who did it.")


class Timeline(serializers.Serializer[Any]):
    events = TimelineEvent(many=True)


class ImportedContact(Body):
    phone = serializers.CharField(max_length=60, allow_blank=True)
    name = serializers.CharField(required=False, allow_blank=True, max_length=300)
    language = serializers.CharField(required=False, allow_blank=True, max_length=60)
    persona = serializers.CharField(required=False, allow_blank=True, max_length=300)
    tags = Tags(required=False)
    lawfulBasis = serializers.CharField(required=False, allow_blank=True, max_length=60)
    basisNote = serializers.CharField(required=False, allow_blank=True, max_length=400)
    optedOut = serializers.BooleanField(required=False, default=False)


class ImportBody(Body):
    contacts = serializers.ListField(child=ImportedContact(), allow_empty=False, max_length=BULK)
    dryRun = serializers.BooleanField(required=False, default=False)


class ImportFinding(serializers.Serializer[Any]):
    field = serializers.CharField()
    level = serializers.ChoiceField(choices=["error", "warning"])
    code = serializers.CharField()
    message = serializers.CharField(source="reason")


class ImportedRow(serializers.Serializer[Any]):
    row = serializers.IntegerField(help_text="Counts from 0.")
    result = serializers.ChoiceField(
        source="outcome", choices=["created", "updated", "unchanged", "refused"]
    )
    findings = ImportFinding(many=True)


class ImportAnswer(serializers.Serializer[Any]):
    created = serializers.IntegerField()
    updated = serializers.IntegerField()
    unchanged = serializers.IntegerField()
    refused = serializers.IntegerField()
    results = ImportedRow(many=True)
