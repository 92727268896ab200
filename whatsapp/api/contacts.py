"""`/api/v1/contacts`: people, what they agreed to, and what happened with them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import StreamingHttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import activity, phones
from accounts.activity import Verb
from accounts.bodies import Paging, narrowed, page, paged, phone_of, read
from accounts.exports import csv_answer
from accounts.findings import Line
from accounts.models import ApiKey, Membership
from accounts.permissions import ADMINISTRATORS, EVERYBODY, WRITERS
from accounts.problems import FieldError, Problem
from accounts.routes import BulkJson, TenantRoute
from whatsapp import contact_files, contacts, histories
from whatsapp.api import contact_answers as answers
from whatsapp.api import contact_examples as examples
from whatsapp.models import Account, Chat, ConsentEntry, Contact, Message

Scope = ApiKey.Scope
HOW = "API"


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
        return Response(answers.ContactAnswer(contact).data)


@extend_schema(tags=["contacts"])
class ContactsView(ContactRoute):
    roles = {"GET": EVERYBODY, "POST": ADMINISTRATORS}
    calls_per_minute = {"GET": 100, "POST": 60}

    @extend_schema(
        summary="Contacts of your company",
        description="Agents see those whom their own accounts talk with. Newest first.",
        parameters=[answers.ContactFilter],
        responses=paged(answers.ContactAnswer),
        examples=examples.CONTACTS,
    )
    def get(self, request: Request) -> Response:
        wishes = read(answers.ContactFilter, request.query_params)
        rows = self._found(self.contacts(), wishes)
        return page(request, rows, answers.ContactAnswer, size=wishes["pageSize"])

    def _found(self, rows: QuerySet[Contact], wishes: dict[str, Any]) -> QuerySet[Contact]:
        lookups = {
            "source": "source",
            "language": "language",
            "engagementFrom": "engagement__gte",
            "engagementTo": "engagement__lte",
            "search": "name__istartswith",
        }
        rows = narrowed(rows, wishes, lookups)
        if wishes.get("tag"):
            rows = rows.filter(tags__contains=[wishes["tag"]])
        if "group" in wishes:
            rows = rows.filter(memberships__group=wishes["group"], memberships__left_at=None)
        if phone := wishes.get("phone"):
            rows = rows.filter(phone=phone_of(phone, "phone", self.tenant.region))
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
        request=answers.NewContact,
        responses={201: answers.ContactAnswer},
        examples=examples.NEW,
    )
    def post(self, request: Request) -> Response:
        wishes = read(answers.NewContact, request.data)
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
        return Response(answers.ContactAnswer(contact).data, status=201)


@extend_schema(tags=["contacts"])
class ContactView(ContactRoute):
    roles = {"GET": EVERYBODY, "PUT": WRITERS}
    calls_per_minute = {"GET": 100, "PUT": 60}

    @extend_schema(summary="One contact", responses=answers.ContactAnswer, examples=examples.ONE)
    def get(self, request: Request, pk: int) -> Response:
        return Response(answers.ContactAnswer(self.contact(pk)).data)

    @extend_schema(
        summary="Change what is known of somebody",
        request=answers.ContactBody,
        responses=answers.ContactAnswer,
        examples=examples.CHANGED,
    )
    def put(self, request: Request, pk: int) -> Response:
        contact = self.contact(pk)
        wishes = read(answers.ContactBody, request.data)
        contacts.edit(contact, actor=self.actor, now=timezone.now(), **wishes)
        return self.done(contact)


@extend_schema(tags=["contacts"])
class ContactBasisView(ContactRoute):
    roles = ADMINISTRATORS
    calls_per_minute = {"POST": 60}

    @extend_schema(
        summary="Record why one may write to somebody",
        description="Who recorded it and when is kept, and a line of the consent ledger written.",
        request=answers.BasisBody,
        responses=answers.ContactAnswer,
        examples=examples.BASIS,
    )
    def post(self, request: Request, pk: int) -> Response:
        contact = self.contact(pk)
        wishes = read(answers.BasisBody, request.data)
        contacts.record_basis(contact, how=HOW, actor=self.actor, now=timezone.now(), **wishes)
        return self.done(contact)


@extend_schema(tags=["contacts"])
class ContactBasisWithdrawView(ContactRoute):
    roles = ADMINISTRATORS
    calls_per_minute = {"POST": 60}

    @extend_schema(
        summary="Withdraw the lawful basis",
        description="Somebody known from a group only gets nothing more until there is another.",
        request=answers.NoteBody,
        responses=answers.ContactAnswer,
        examples=examples.WITHDRAWN,
    )
    def post(self, request: Request, pk: int) -> Response:
        contact = self.contact(pk)
        wishes = read(answers.NoteBody, request.data)
        contacts.withdraw_basis(contact, how=HOW, actor=self.actor, now=timezone.now(), **wishes)
        return self.done(contact)


@extend_schema(tags=["contacts"])
class ContactOptOutView(ContactRoute):
    roles = WRITERS
    calls_per_minute = {"POST": 60}

    @extend_schema(
        summary="Never write to somebody again",
        description="They leave every sequence, and what is queued to them is cancelled.",
        request=answers.OptOutBody,
        responses=answers.ContactAnswer,
        examples=examples.OPT_OUT,
    )
    def post(self, request: Request, pk: int) -> Response:
        contact = self.contact(pk)
        reason = read(answers.OptOutBody, request.data)["reason"] or f"by {self.actor.name}"
        contacts.opt_out(contact, reason=reason, how=HOW, actor=self.actor, now=timezone.now())
        return self.done(contact)


@extend_schema(tags=["contacts"])
class ContactOptInView(ContactRoute):
    roles = ADMINISTRATORS
    calls_per_minute = {"POST": 60}

    @extend_schema(
        summary="They want messages again",
        request=answers.NoteBody,
        responses=answers.ContactAnswer,
        examples=examples.OPT_IN,
    )
    def post(self, request: Request, pk: int) -> Response:
        contact = self.contact(pk)
        wishes = read(answers.NoteBody, request.data)
        contacts.opt_in(contact, how=HOW, actor=self.actor, now=timezone.now(), **wishes)
        return self.done(contact)


@extend_schema(tags=["contacts"])
class ContactConsentView(ContactRoute):
    calls_per_minute = {"GET": 100}

    @extend_schema(
        summary="Consent ledger of a contact",
        parameters=[Paging],
        responses=paged(answers.ConsentAnswer),
        examples=examples.CONSENT,
    )
    def get(self, request: Request, pk: int) -> Response:
        rows = ConsentEntry.objects.filter(contact=self.contact(pk))
        return page(request, rows, answers.ConsentAnswer)


@extend_schema(tags=["contacts"])
class ContactTimelineView(ContactRoute):
    roles = ADMINISTRATORS | {Membership.Role.VIEWER.value}
    calls_per_minute = {"GET": 100}

    @extend_schema(
        summary="What happened with a contact, newest first",
        parameters=[answers.TimelineFilter],
        responses=answers.Timeline,
        examples=examples.TIMELINE,
    )
    def get(self, request: Request, pk: int) -> Response:
        wishes = read(answers.TimelineFilter, request.query_params)
        events = histories.of_contact(self.contact(pk), **wishes)
        return Response(answers.Timeline({"events": events}).data)


@extend_schema(tags=["contacts"])
class ContactsImportView(ContactRoute):
    parser_classes = [BulkJson]
    roles = ADMINISTRATORS
    calls_per_minute = {"POST": 20}

    @extend_schema(
        summary="Create or change contacts",
        description=(
            f"Up to {answers.BULK} rows; good rows are taken although others are refused. Empty "
            "says nothing, tags are added, no import takes an opt-out back. `dryRun` says all the "
            "same and stores nothing."
        ),
        request=answers.ImportBody,
        responses=answers.ImportAnswer,
        examples=examples.IMPORT,
    )
    def post(self, request: Request) -> Response:
        wishes = read(answers.ImportBody, request.data)
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
        return Response(answers.ImportAnswer({**asdict(report), "results": found}).data)


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
        return csv_answer("contacts.csv", contact_files.HEADER, contact_files.exported(rows))
