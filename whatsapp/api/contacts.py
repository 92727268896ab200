"""`/api/v1/contacts`: people, what they agreed to, and what happened with them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import StreamingHttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import activity, phones
from accounts.activity import Verb
from accounts.bodies import Body, Moment, Paging, page, paged, read
from accounts.exports import stream_csv
from accounts.findings import Line
from accounts.models import ApiKey, Membership
from accounts.permissions import ADMINISTRATORS, EVERYBODY, WRITERS
from accounts.problems import FieldError, Problem
from accounts.routes import BulkJson, TenantRoute
from whatsapp import contact_files, contacts, histories
from whatsapp.api import contact_examples as examples
from whatsapp.api.groups import Tag, Tags
from whatsapp.models import Account, Chat, ConsentEntry, Contact, Message

Scope = ApiKey.Scope
BULK = 1_000
OBSTACLES = ["opted_out", "no_lawful_basis"]
HOW = "API"


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


class ContactRoute(TenantRoute):
    """A route about contacts; agents see those whom their own accounts talk with."""

    scopes = {
        "GET": Scope.CONTACTS_READ,
        "POST": Scope.CONTACTS_WRITE,
        "PUT": Scope.CONTACTS_WRITE,
    }

    def contacts(self) -> QuerySet[Contact]:
        rows = Contact.objects.filter(tenant=self.tenant)
        if self.role == Membership.Role.AGENT and self.actor.user_id is not None:
            theirs = Account.objects.filter(tenant=self.tenant, owner=self.actor.user_id)
            talk = {"contact": OuterRef("pk"), "account__in": theirs}
            rows = rows.filter(
                Exists(Message.objects.filter(**talk)) | Exists(Chat.objects.filter(**talk))
            )
        return rows

    def contact(self, pk: int) -> Contact:
        return get_object_or_404(self.contacts(), pk=pk)

    def done(self, contact: Contact) -> Response:
        contact.refresh_from_db()
        return Response(ContactAnswer(contact).data)


@extend_schema(tags=["contacts"])
class ContactsView(ContactRoute):
    roles = {"GET": EVERYBODY, "POST": ADMINISTRATORS}
    calls_per_minute = {"GET": 100, "POST": 60}

    @extend_schema(
        summary="Contacts of your company",
        description="Agents see those whom their own accounts talk with. Newest first.",
        parameters=[ContactFilter],
        responses=paged(ContactAnswer),
        examples=examples.CONTACTS,
    )
    def get(self, request: Request) -> Response:
        wishes = read(ContactFilter, request.query_params)
        rows = self._found(self.contacts(), wishes)
        return page(request, rows, ContactAnswer, size=wishes["pageSize"])

    def _found(self, rows: QuerySet[Contact], wishes: dict[str, Any]) -> QuerySet[Contact]:
        for name, lookup in (
            ("source", "source"),
            ("language", "language"),
            ("engagementFrom", "engagement__gte"),
            ("engagementTo", "engagement__lte"),
            ("search", "name__istartswith"),
        ):
            if name in wishes:
                rows = rows.filter(**{lookup: wishes[name]})
        if wishes.get("tag"):
            rows = rows.filter(tags__contains=[wishes["tag"]])
        if "group" in wishes:
            rows = rows.filter(memberships__group=wishes["group"], memberships__left_at=None)
        if wishes.get("phone"):
            try:
                number = phones.parse(wishes["phone"], region=self.tenant.region)
            except phones.BadPhone as error:
                raise Problem.of_field("phone", error.code, str(error)) from error
            rows = rows.filter(phone=number)
        free = Q(pk__in=Contact.objects.filter(tenant=self.tenant).may_be_written_to())
        match wishes.get("obstacle"):
            case "none":
                rows = rows.filter(free)
            case "opted_out":
                rows = rows.exclude(opted_out_at=None)
            case "no_lawful_basis":
                rows = rows.exclude(free).filter(opted_out_at=None)
        return rows

    @extend_schema(
        summary="Enter somebody by hand",
        description="409 with the id of the contact who has the number already.",
        request=NewContact,
        responses={201: ContactAnswer},
        examples=examples.NEW,
    )
    def post(self, request: Request) -> Response:
        wishes = read(NewContact, request.data)
        try:
            contact = contacts.create(
                tenant=self.tenant,
                phone=wishes.pop("phone"),
                source=Contact.Source.API,
                actor=self.actor,
                now=timezone.now(),
                **wishes,
            )
        except phones.BadPhone as error:
            raise Problem.of_field("phone", error.code, str(error)) from error
        except contacts.Forgotten as error:
            raise Problem.of_field("phone", "suppressed", str(error)) from error
        except contacts.Known as error:
            said = f"{error}: {error.contact.pk}"
            raise Problem(
                409, "known", said, errors=[FieldError("phone", "known", said)]
            ) from error
        return Response(ContactAnswer(contact).data, status=201)


@extend_schema(tags=["contacts"])
class ContactView(ContactRoute):
    roles = {"GET": EVERYBODY, "PUT": WRITERS}
    calls_per_minute = {"GET": 100, "PUT": 60}

    @extend_schema(summary="One contact", responses=ContactAnswer, examples=examples.ONE)
    def get(self, request: Request, pk: int) -> Response:
        return Response(ContactAnswer(self.contact(pk)).data)

    @extend_schema(
        summary="Change what is known of somebody",
        request=ContactBody,
        responses=ContactAnswer,
        examples=examples.CHANGED,
    )
    def put(self, request: Request, pk: int) -> Response:
        contact = self.contact(pk)
        wishes = read(ContactBody, request.data)
        contacts.edit(contact, actor=self.actor, now=timezone.now(), **wishes)
        return self.done(contact)


@extend_schema(tags=["contacts"])
class ContactBasisView(ContactRoute):
    roles = ADMINISTRATORS
    calls_per_minute = {"POST": 60}

    @extend_schema(
        summary="Record why one may write to somebody",
        description="Who recorded it and when is kept, and a line of the consent ledger written.",
        request=BasisBody,
        responses=ContactAnswer,
        examples=examples.BASIS,
    )
    def post(self, request: Request, pk: int) -> Response:
        contact = self.contact(pk)
        wishes = read(BasisBody, request.data)
        contacts.record_basis(contact, how=HOW, actor=self.actor, now=timezone.now(), **wishes)
        return self.done(contact)


@extend_schema(tags=["contacts"])
class ContactBasisWithdrawView(ContactRoute):
    roles = ADMINISTRATORS
    calls_per_minute = {"POST": 60}

    @extend_schema(
        summary="Withdraw the lawful basis",
        description="Somebody known from a group only gets nothing more until there is another.",
        request=NoteBody,
        responses=ContactAnswer,
        examples=examples.WITHDRAWN,
    )
    def post(self, request: Request, pk: int) -> Response:
        contact = self.contact(pk)
        wishes = read(NoteBody, request.data)
        contacts.withdraw_basis(contact, how=HOW, actor=self.actor, now=timezone.now(), **wishes)
        return self.done(contact)


@extend_schema(tags=["contacts"])
class ContactOptOutView(ContactRoute):
    roles = WRITERS
    calls_per_minute = {"POST": 60}

    @extend_schema(
        summary="Never write to somebody again",
        description="They leave every sequence, and what is queued to them is cancelled.",
        request=OptOutBody,
        responses=ContactAnswer,
        examples=examples.OPT_OUT,
    )
    def post(self, request: Request, pk: int) -> Response:
        contact = self.contact(pk)
        reason = read(OptOutBody, request.data)["reason"] or f"by {self.actor.name}"
        contacts.opt_out(contact, reason=reason, how=HOW, actor=self.actor, now=timezone.now())
        return self.done(contact)


@extend_schema(tags=["contacts"])
class ContactOptInView(ContactRoute):
    roles = ADMINISTRATORS
    calls_per_minute = {"POST": 60}

    @extend_schema(
        summary="They want messages again",
        request=NoteBody,
        responses=ContactAnswer,
        examples=examples.OPT_IN,
    )
    def post(self, request: Request, pk: int) -> Response:
        contact = self.contact(pk)
        wishes = read(NoteBody, request.data)
        contacts.opt_in(contact, how=HOW, actor=self.actor, now=timezone.now(), **wishes)
        return self.done(contact)


@extend_schema(tags=["contacts"])
class ContactConsentView(ContactRoute):
    calls_per_minute = {"GET": 100}

    @extend_schema(
        summary="Consent ledger of a contact",
        parameters=[Paging],
        responses=paged(ConsentAnswer),
        examples=examples.CONSENT,
    )
    def get(self, request: Request, pk: int) -> Response:
        wishes = read(Paging, request.query_params)
        rows = ConsentEntry.objects.filter(contact=self.contact(pk))
        return page(request, rows, ConsentAnswer, size=wishes["pageSize"])


@extend_schema(tags=["contacts"])
class ContactTimelineView(ContactRoute):
    roles = ADMINISTRATORS | {Membership.Role.VIEWER.value}
    calls_per_minute = {"GET": 100}

    @extend_schema(
        summary="What happened with a contact, newest first",
        parameters=[TimelineFilter],
        responses=Timeline,
        examples=examples.TIMELINE,
    )
    def get(self, request: Request, pk: int) -> Response:
        wishes = read(TimelineFilter, request.query_params)
        events = histories.of_contact(self.contact(pk), **wishes)
        return Response(Timeline({"events": events}).data)


@extend_schema(tags=["contacts"])
class ContactsImportView(ContactRoute):
    parser_classes = [BulkJson]
    roles = ADMINISTRATORS
    calls_per_minute = {"POST": 20}

    @extend_schema(
        summary="Create or change contacts",
        description=(
            f"Up to {BULK} rows; good rows are taken although others are refused. Empty says "
            "nothing, tags are added, no import takes an opt-out back. `dryRun` says all the "
            "same and stores nothing."
        ),
        request=ImportBody,
        responses=ImportAnswer,
        examples=examples.IMPORT,
    )
    def post(self, request: Request) -> Response:
        wishes = read(ImportBody, request.data)
        lines: list[Line] = []
        report = contact_files.import_rows(
            self.tenant,
            (_row(index, row) for index, row in enumerate(wishes["contacts"])),
            source=Contact.Source.API,
            told=lines.append,
            dry_run=wishes["dryRun"],
            actor=self.actor,
            now=timezone.now(),
        )
        found = [asdict(line) | {"findings": [_named(f) for f in line.findings]} for line in lines]
        return Response(ImportAnswer({**asdict(report), "results": found}).data)


_NAMES = {"lawful_basis": "lawfulBasis", "basis_note": "basisNote", "opted_out": "optedOut"}


def _row(index: int, given: dict[str, Any]) -> contact_files.Row:
    texts = {ours: given.get(theirs, "") for ours, theirs in _NAMES.items()}
    texts |= {name: given.get(name, "") for name in ("phone", "name", "language", "persona")}
    texts["tags"] = ";".join(given.get("tags", []))
    texts["opted_out"] = "yes" if given["optedOut"] else ""
    return contact_files.Row(row=index, **texts)


def _named(finding: Any) -> dict[str, Any]:
    return asdict(finding) | {"field": _NAMES.get(finding.field, finding.field)}


@extend_schema(tags=["contacts"])
class ContactsExportView(ContactRoute):
    roles = ADMINISTRATORS
    calls_per_minute = {"GET": 10}

    @extend_schema(
        summary="All contacts as CSV",
        description="Columns of an import have its names: what comes out can go in.",
        responses={(200, "text/csv"): OpenApiResponse(OpenApiTypes.STR, "A row for each contact")},
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        rows = self.contacts()
        activity.record(
            tenant_id=self.tenant.pk,
            verb=Verb.CONTACTS_EXPORTED,
            actor=self.actor,
            detail={"contacts": rows.count()},
            now=timezone.now(),
        )
        return StreamingHttpResponse(
            stream_csv(contact_files.HEADER, contact_files.exported(rows)),
            content_type="text/csv; charset=utf-8",
            headers={
                "Content-Disposition": 'attachment; filename="contacts.csv"',
                "Cache-Control": "no-store",
            },
        )
