"""`/api/whatsapp/messages`: messages as marketing's tools write and read them.

Names are those that older callers know. `campaignId` and `contentId` are theirs: kept, shown and
asked for, not looked at.
"""

from __future__ import annotations

import uuid
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.bodies import narrowed, page, paged, phone_of, read
from accounts.permissions import ADMINISTRATORS, EVERYBODY, WRITERS
from accounts.problems import FieldError, Problem
from whatsapp import contacts, messages, suppression
from whatsapp.api import marketing_examples as examples
from whatsapp.api.accounts import AccountRoute, Scope
from whatsapp.api.contents import content_of, due_at_of
from whatsapp.api.marketing_answers import (
    FILES,
    LABELS,
    MOST,
    MarketingFan,
    MarketingFilter,
    MarketingMessage,
    NewMarketingMessage,
)
from whatsapp.api.sending import IDEMPOTENCY_KEY, MAX_KEY, key_of, queued_message, refusals
from whatsapp.contents import Content
from whatsapp.models import Account, Contact, Group, Message


class MarketingRoute(AccountRoute):
    scopes = {"GET": Scope.MESSAGES_READ, "POST": Scope.MESSAGES_SEND}

    def messages(self) -> QuerySet[Message]:
        rows = Message.objects.select_related("contact", "media")
        return self.visible(rows, account="account")


@extend_schema(tags=["marketing"])
class MarketingMessagesView(MarketingRoute):
    roles = {"GET": EVERYBODY, "POST": WRITERS}
    calls_per_minute = {"GET": 100, "POST": 200}

    @extend_schema(
        summary="Messages, newest first",
        parameters=[MarketingFilter],
        responses=paged(MarketingMessage),
        examples=examples.MESSAGES,
    )
    def get(self, request: Request) -> Response:
        wishes = read(MarketingFilter, request.query_params)
        lookups = {
            "status": "state",
            "accountId": "account",
            "since": "created_at__gte",
            "until": "created_at__lt",
        }
        rows = narrowed(self.messages(), wishes, lookups)
        if labels := {name: wishes[name] for name in LABELS if name in wishes}:
            rows = rows.filter(labels__contains=labels).exclude(labels={})
        if kind := wishes.get("messageType"):
            rows = rows.filter(Q(kind="media", media__kind=kind) if kind in FILES else Q(kind=kind))
        to_many = Q(origin=Message.Origin.BROADCAST)
        match wishes.get("channelType"):
            case "group":
                rows = rows.exclude(group=None)
            case "broadcast":
                rows = rows.filter(to_many)
            case "individual":
                rows = rows.filter(~to_many, group=None)
        return page(request, rows, MarketingMessage, size=wishes["pageSize"])

    @extend_schema(
        summary="Send to a person, a group, or to each of many",
        description=(
            "Queued within the account's limits. `broadcast` queues one message of its own to each "
            f"of {MOST} people at most, after sequences, and answers who is left out and why; only "
            "owners and managers may. With a key a call may be repeated: it sends once."
        ),
        parameters=[IDEMPOTENCY_KEY],
        request=NewMarketingMessage,
        responses={
            201: PolymorphicProxySerializer(
                component_name="MarketingQueued",
                serializers=[MarketingMessage, MarketingFan],
                resource_type_field_name=None,
            )
        },
        examples=examples.NEW_MESSAGE,
    )
    def post(self, request: Request) -> Response:
        wishes = read(NewMarketingMessage, request.data)
        key = key_of(request, otherwise=wishes["idempotencyKey"]) or f"call:{uuid.uuid4()}"
        account = self.accounts().filter(pk=wishes["accountId"]).first()
        if account is None:
            raise Problem.of_field("accountId", "unknown", "you have no such account")
        labels = {name: wishes[name] for name in LABELS if wishes[name]}
        if wishes["channelType"] == "broadcast":
            return self._to_each(wishes, account, key=key, labels=labels)
        to: str | Group
        if wishes["channelType"] == "group":
            to = _group(wishes["targetGroupId"], account)
        else:
            to = phone_of(wishes["targetPhone"], "targetPhone", self.tenant.region)
        message = queued_message(
            account=account,
            to=to,
            due_at=due_at_of(wishes, account=account, to=to),
            content=self._content(wishes),
            labels=labels,
            key=key,
            actor=self.actor,
        )
        return Response(MarketingMessage(message).data, status=201)

    def _to_each(
        self, wishes: dict[str, Any], account: Account, *, key: str, labels: dict[str, str]
    ) -> Response:
        if self.role not in ADMINISTRATORS:
            raise Problem(403, "role", "Only owners and managers send to many at once.")
        if len(key) > MAX_KEY - 20:
            raise Problem.of_field("idempotencyKey", "max_length", "write 180 characters at most")
        people = self._people(wishes)
        if wishes["scheduledAt"] is None:
            due_at_of(wishes, account=account, to="")  # a clock without a time
        content = self._content(wishes)
        with refusals():
            fan = messages.send_to_each(
                account=account,
                to=people,
                content=content,
                due_at=lambda contact: due_at_of(wishes, account=account, to=contact),
                idempotency_key=key,
                labels=labels,
                actor=self.actor,
                now=timezone.now(),
            )
        left_out = [{"contactId": pk, "reason": why} for pk, why in sorted(fan.left_out.items())]
        ids = [message.public_id for message in fan.messages]
        answer = {"queued": len(ids), "messageIds": ids, "leftOut": left_out}
        return Response(MarketingFan(answer).data, status=201)

    def _people(self, wishes: dict[str, Any]) -> list[Contact]:
        phones, wrong = [], []
        for index, text in enumerate(wishes["targetPhones"]):
            try:
                phones.append(phone_of(text, f"targetPhones[{index}]", self.tenant.region))
            except Problem as problem:
                wrong += problem.errors
        if wrong:
            raise Problem.of_fields(wrong)
        with transaction.atomic():
            suppression.hold(self.tenant)
            forgotten = suppression.suppressed(self.tenant, phones)
            if forgotten:
                raise Problem.of_fields(
                    [
                        FieldError(
                            f"targetPhones[{index}]",
                            "suppressed",
                            "this person asked to be forgotten",
                        )
                        for index, phone in enumerate(phones)
                        if phone in forgotten
                    ]
                )
            ids = contacts.ensure(
                tenant_id=self.tenant.pk,
                people=dict.fromkeys(phones, ""),
                source=Contact.Source.API,
            )
        meant = Q(pk__in=ids.values()) | Q(tags__overlap=wishes["targetTags"])
        found = list(Contact.objects.filter(meant, tenant=self.tenant).order_by("pk")[: MOST + 1])
        if len(found) > MOST:
            raise Problem.of_field(
                "targetTags", "too_many", f"these are more than {MOST} people: make a broadcast"
            )
        if not found:
            raise Problem.of_field("targetTags", "nobody", "nobody has one of these tags")
        return found

    def _content(self, wishes: dict[str, Any]) -> Content:
        kind = wishes["messageType"]
        said: dict[str, Any] = {
            "text": wishes["messageText"], "media": None, "location": None, "link": None,
        }  # fmt: skip
        if kind == "location":
            said["location"] = {
                "latitude": wishes["latitude"],
                "longitude": wishes["longitude"],
                "name": wishes["locationName"],
                "address": wishes["locationAddress"],
            }
        elif kind == "link":
            said["link"] = {"url": wishes["linkUrl"]}
        elif kind in FILES and "mediaId" in wishes:
            said["media"] = {"id": wishes["mediaId"]}
        elif kind in FILES:
            said["media"] = {"url": wishes["mediaUrl"], "type": kind}
        try:
            return content_of(said, tenant=self.tenant)
        except Problem as problem:
            raise Problem.of_fields([_renamed(error) for error in problem.errors]) from problem


def _renamed(error: FieldError) -> FieldError:
    names = {
        "text": "messageText", "media.url": "mediaUrl", "media.type": "messageType",
        "media.id": "mediaId", "link.url": "linkUrl", "location.latitude": "latitude",
        "location.longitude": "longitude", "location.name": "locationName",
        "location.address": "locationAddress",
    }  # fmt: skip
    return FieldError(names.get(error.field, error.field), error.code, error.message)


def _group(text: str, account: Account) -> Group:
    groups = Group.objects.filter(account=account)
    known = Q(pk=int(text)) if text.isdecimal() and len(text) < 19 else Q(chat_id=text)
    group = groups.filter(known).first()
    if group is None:
        raise Problem.of_field("targetGroupId", "unknown", "this account is in no such group")
    return group


@extend_schema(tags=["marketing"])
class MarketingMessageView(MarketingRoute):
    calls_per_minute = {"GET": 100}

    @extend_schema(summary="One message", responses=MarketingMessage, examples=examples.MESSAGE)
    def get(self, request: Request, public_id: object) -> Response:
        message = get_object_or_404(self.messages(), public_id=public_id)
        return Response(MarketingMessage(message).data)


@extend_schema(tags=["marketing"])
class MarketingMessageRetryView(MarketingRoute):
    roles = WRITERS
    calls_per_minute = {"POST": 60}

    @extend_schema(
        summary="Send a failed message again",
        description="With the id it had. 409 when it is not failed, or nobody may write there now.",
        request=None,
        responses=MarketingMessage,
        examples=examples.RETRIED,
    )
    def post(self, request: Request, public_id: object) -> Response:
        message = get_object_or_404(self.messages(), public_id=public_id)
        done = messages.retry(message, actor=self.actor, now=timezone.now())
        message.refresh_from_db()
        if not done:
            text = (
                f"This message is {message.get_state_display()}: only a failed one is tried "
                "again, and only while its recipient may be written to."
            )
            wrong = [FieldError("status", message.state, text)]
            raise Problem(409, "state", text, errors=wrong)
        return Response(MarketingMessage(message).data)
