"""Conversations in the admin: who waits for an answer, what was said, and a box to answer."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import admin, messages
from django.db.models import F, QuerySet
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts import lists
from accounts.activity import actor_of
from accounts.console import (
    ConsoleAdmin,
    QuestionFilter,
    ReadOnly,
    TenantScoped,
    companies,
    display,
    regions,
)
from whatsapp import chats, explaining
from whatsapp.chats import Entry
from whatsapp.contents import CannotSend, TextContent
from whatsapp.messages import send_direct
from whatsapp.models import Account, Chat, Contact, Incoming, Media, Message

SHOWN = 50  # messages on a page
# How a message of ours has come: what is drawn, and what it means.
TICKS: dict[str, tuple[str, str]] = {
    Message.State.QUEUED: ("schedule", "waiting"),
    Message.State.SENDING: ("schedule", "waiting"),
    Message.State.SENT: ("check", "sent"),
    Message.State.DELIVERED: ("done_all", "delivered"),
    Message.State.READ: ("done_all", "read"),
    Message.State.FAILED: ("error", "failed"),
    Message.State.UNCERTAIN: ("help", "failed"),
}
WRITERS: dict[str, Any] = {
    "phone": _("on the phone"),
    "agent": _("chat agent"),
    "sequence": _("sequence"),
    "broadcast": _("broadcast"),
    "system": "Relance",
}
# What became of a file that is not there.
FILES: dict[str, Any] = {
    Incoming.MediaState.WANTED: _("its file is being fetched"),
    Incoming.MediaState.FAILED: _("its file could not be fetched"),
    Incoming.MediaState.TOO_LARGE: _("its file is too large"),
}


class Bubble:
    """An entry as the page draws it."""

    def __init__(self, entry: Entry) -> None:
        said = entry.said
        self.entry, self.said = entry, said
        self.theirs = entry.is_theirs
        self.writer = "" if self.theirs else WRITERS.get(entry.writer) or entry.by
        self.tick, self.tick_kind, self.state, self.file_note, self.why = "", "", "", "", ""
        if isinstance(said, Incoming):
            note = FILES.get(said.media_state, "")
            self.file_note = f"{note} ({said.media_error})" if said.media_error else note
        else:
            self.tick, self.tick_kind = TICKS.get(said.state, ("", ""))
            self.state = said.get_state_display()
            self.why = explaining.reason(said.error_code) if said.error_code else ""

    @property
    def place(self) -> dict[str, Any] | None:
        return self.said.content if "latitude" in self.said.content else None

    @property
    def link(self) -> dict[str, Any] | None:
        return self.said.content if "url" in self.said.content else None

    @property
    def odd_kind(self) -> str:
        """WhatsApp's type of a message that has nothing we could show."""
        shown = self.said.body or self.said.media_id or self.said.content
        return "" if shown else self.said.kind


class ChatQuestions(QuestionFilter):
    title = _("question")
    questions = {
        "unread": (_("Who waits for an answer?"), lambda rows: rows.filter(unread__gt=0)),
        "taken-over": (
            _("Where does a person write?"),
            lambda rows: rows.filter(taken_over_until__gt=timezone.now()),
        ),
    }


@admin.register(Chat)
class ChatAdmin(ReadOnly, TenantScoped, ConsoleAdmin):
    list_display = ["who", "account", "unread", "last_incoming_at", "last_outgoing_at", "answers"]
    list_filter = [ChatQuestions, "tenant"]
    list_select_related = ["account__tenant", "account__agent", "contact", "tenant"]
    search_fields = ["^contact__phone", "^contact__name", "=account__name"]
    search_help_text = _("How a person’s name or number begins, or an account")
    if_empty = _("A conversation begins when somebody writes to one of your accounts.")
    ordering = [F("last_incoming_at").desc(nulls_last=True), "-id"]
    change_form_outer_before_template = "admin/whatsapp/chat/page.html"
    fields = ["contact", "account", "started_at", "last_incoming_at", "last_outgoing_at"]

    def search(self, request: HttpRequest, rows: QuerySet[Any], text: str) -> QuerySet[Any]:
        known = lists.search(
            Contact.objects.filter(tenant__in=companies(request)),
            ["^phone", "^name"],
            text,
            regions=regions(request, text),
        )
        numbers = Account.objects.filter(tenant__in=companies(request), name=text)
        return rows.filter(contact__in=lists.some(request, known)) | rows.filter(
            account__in=list(numbers.values_list("pk", flat=True))
        )

    @display(description=_("with"), ordering="contact__name")
    def who(self, chat: Chat) -> str:
        return str(chat.contact)

    @display(
        description=_("answered by"),
        label={"person": "warning", "agent": "info", "nobody": "default"},
    )
    def answers(self, chat: Chat) -> tuple[str, str]:
        if chat.is_taken_over(now=timezone.now()):
            return "person", chat.taken_over_by
        agent = chat.account.agent
        if agent is not None and agent.enabled:
            return "agent", str(agent)
        return "nobody", gettext("people")

    # ------------------------------------------------------------------------------- its page

    def get_urls(self) -> list[URLPattern]:
        buttons = {"answer": self.answer, "take-over": self.take_over, "give-back": self.give_back}
        return [
            path("<int:pk>/live/", self.live, name="whatsapp_chat_live"),
            path(
                "<int:pk>/file/<int:media_id>/",
                self.admin_site.admin_view(self.file),
                name="whatsapp_chat_file",
            ),
            *(
                path(
                    f"<int:pk>/{route}/",
                    self.admin_site.admin_view(view),
                    name=f"whatsapp_chat_{route.replace('-', '_')}",
                )
                for route, view in buttons.items()
            ),
            *super().get_urls(),
        ]

    def page_context(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        context = self._context(request, obj)
        chats.mark_read(obj)
        return context

    def live(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The conversation alone, for the page that draws it again."""
        if not self.has_view_permission(request):
            return HttpResponse(status=401, headers={"HX-Refresh": "true"})
        chat = self._chat(request, pk)
        chats.mark_read(chat)
        answer = TemplateResponse(
            request, "admin/whatsapp/chat/live.html", self._context(request, chat)
        )
        answer["Cache-Control"] = "no-store"
        return answer

    def _context(self, request: HttpRequest, chat: Chat) -> dict[str, Any]:
        try:
            entries = chats.history(chat, before=request.GET.get("before", ""), limit=SHOWN)
        except chats.BadCursor as error:
            raise Http404(str(error)) from error
        agent = chat.account.agent
        return {
            "chat": chat,
            "bubbles": [Bubble(entry) for entry in entries],
            "earlier": entries[0].cursor if len(entries) == SHOWN else "",
            "is_newest": "before" not in request.GET,
            "taken_over": chat.is_taken_over(now=timezone.now()),
            "agent": agent if agent is not None and agent.enabled else None,
            "answer_key": uuid.uuid4(),
            "opts": self.opts,
        }

    def _chat(self, request: HttpRequest, pk: int) -> Chat:
        chat = self.get_object(request, str(pk))
        if chat is None:
            raise Http404("There is no such conversation.")
        return chat  # type: ignore[no-any-return]

    def _pressed(self, request: HttpRequest, pk: int) -> Chat:
        if request.method != "POST":
            raise Http404("This is a button.")
        return self._chat(request, pk)

    def _back(self, chat: Chat) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:whatsapp_chat_change", args=[chat.pk]))

    def answer(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Send what somebody typed; the same form sent twice sends once."""
        chat = self._pressed(request, pk)
        try:
            send_direct(
                account=chat.account,
                to=chat.contact,
                content=TextContent(request.POST.get("text", "").replace("\r\n", "\n")),
                idempotency_key=f"chat:{request.POST.get('key', '')[:60] or uuid.uuid4()}",
                actor=actor_of(request),
                now=timezone.now(),
            )
        except CannotSend as error:
            self.message_user(request, _("Not sent: %s") % error, messages.ERROR)
            request.method = "GET"  # the page as it is, with what was typed in its box
            typed = {"typed": request.POST.get("text", "")}
            return self.changeform_view(  # type: ignore[no-any-return]
                request, str(chat.pk), extra_context=typed
            )
        return self._back(chat)

    def take_over(self, request: HttpRequest, pk: int) -> HttpResponse:
        chat = self._pressed(request, pk)
        chats.take_over(chat, actor=actor_of(request), now=timezone.now())
        return self._back(chat)

    def give_back(self, request: HttpRequest, pk: int) -> HttpResponse:
        chat = self._pressed(request, pk)
        chats.give_back(chat, actor=actor_of(request), now=timezone.now())
        return self._back(chat)

    def file(self, request: HttpRequest, pk: int, media_id: int) -> HttpResponseBase:
        """A file of this conversation: pictures to be looked at, everything else to be saved."""
        chat = self._chat(request, pk)
        theirs = Incoming.objects.filter(account=chat.account_id, contact=chat.contact_id)
        ours = Message.objects.filter(account=chat.account_id, contact=chat.contact_id)
        found = Media.objects.filter(tenant=chat.tenant_id, pk=media_id).first()
        if found is None or not (
            theirs.filter(media=found).exists() or ours.filter(media=found).exists()
        ):
            raise Http404("this conversation has no such file")
        try:
            answer = FileResponse(
                found.file.open("rb"),
                content_type=found.mime,
                as_attachment=found.kind != Media.Kind.IMAGE,
                filename=found.filename,
            )
        except FileNotFoundError as error:
            raise Http404("the storage has lost this file") from error
        answer["Cache-Control"] = "private, max-age=3600"
        # Somebody sent it: whatever it holds, it runs nothing.
        answer["Content-Security-Policy"] = "default-src 'none'; sandbox"
        return answer
