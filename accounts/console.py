"""What the admin of every app builds on: its looks, who may open it, and whose rows they see.

Superusers see all companies. Other staff see, and may change, those they own or manage
(`Membership`); Django's permissions per model are not used.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from django.contrib.admin import SimpleListFilter
from django.db.models import ForeignKey, Model, QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts import lists
from accounts.activity import Verb, actor_of, record
from accounts.lists import QuickChangeList, QuickPaginator
from accounts.models import Membership, Tenant, User
from accounts.permissions import ADMINISTRATORS

F = TypeVar("F", bound=Callable[..., Any])

if TYPE_CHECKING:
    # django-unfold has no types; what it adds is looks.
    from django.contrib.admin import ModelAdmin, StackedInline, TabularInline
    from django.contrib.auth.admin import UserAdmin
    from django.contrib.auth.forms import AuthenticationForm

    ConsoleAdmin = ModelAdmin[Any]
    ConsoleStackedInline = StackedInline[Any, Any]
    ConsoleTabularInline = TabularInline[Any, Any]
    ConsoleUserAdmin = UserAdmin[User]
    MixinBase = ModelAdmin[Any]

    def action(**options: Any) -> Callable[[F], F]: ...
    def display(**options: Any) -> Callable[[F], F]: ...

else:
    from django.contrib.auth.admin import UserAdmin
    from unfold.admin import ModelAdmin as ConsoleAdmin
    from unfold.admin import StackedInline as ConsoleStackedInline
    from unfold.admin import TabularInline
    from unfold.decorators import action, display
    from unfold.forms import AuthenticationForm

    class ConsoleUserAdmin(UserAdmin, ConsoleAdmin):
        pass

    class ConsoleTabularInline(TabularInline):
        """Each input says what its column is: a screen reader does not look up."""

        def get_formset(self, request, obj=None, **kwargs):
            made = super().get_formset(request, obj, **kwargs)
            for field in made.form.base_fields.values():
                field.widget.attrs.setdefault("aria-label", field.label)
            return made

    MixinBase = object

__all__ = [
    "AuthenticationForm",
    "CompanyFilter",
    "ConsoleAdmin",
    "ConsoleStackedInline",
    "ConsoleTabularInline",
    "ConsoleUserAdmin",
    "QuestionFilter",
    "ReadOnly",
    "StaffOfCompany",
    "TenantScoped",
    "action",
    "companies",
    "company_time",
    "display",
    "regions",
    "tenant_ids",
]


def tenant_ids(request: HttpRequest) -> list[int]:
    """Companies that a member of staff administers."""
    return list(_administered(request))


def companies(request: HttpRequest) -> dict[int, str]:
    """Id and name of each company somebody sees here, by name: for a superuser all of them."""
    if not request.user.is_superuser:
        return _administered(request)
    found: dict[int, str] | None = getattr(request, "_console_companies", None)
    if found is None:
        found = dict(Tenant.objects.order_by("name").values_list("pk", "name"))
        request._console_companies = found  # type: ignore[attr-defined]
    return found


def _administered(request: HttpRequest) -> dict[int, str]:
    """Asked once per request."""
    found: dict[int, str] | None = getattr(request, "_console_administered", None)
    if found is None:
        memberships = Membership.objects.filter(user=request.user.pk or 0, role__in=ADMINISTRATORS)
        rows = list(memberships.order_by("tenant__name").select_related("tenant"))
        found = {row.tenant_id: row.tenant.name for row in rows}
        request._console_administered = found  # type: ignore[attr-defined]
        request._console_zones = {row.tenant.zone for row in rows}  # type: ignore[attr-defined]
    return found


def company_time(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Middleware: the admin tells its staff the time of their company, as the referrer's page does.

    Superusers, and staff of companies in several zones, see UTC.
    """

    def answer(request: HttpRequest) -> HttpResponseBase:
        if not request.path.startswith(reverse("admin:index")):
            return get_response(request)
        if not request.user.is_staff or request.user.is_superuser:
            return get_response(request)
        zones = request._console_zones if _administered(request) else set()  # type: ignore[attr-defined]
        with timezone.override(zones.pop() if len(zones) == 1 else None):
            return get_response(request)

    return answer


def regions(request: HttpRequest, text: str) -> set[str]:
    """Countries whose way of writing numbers `text` may follow: those of one's companies."""
    if not text.startswith("0"):
        return set()
    rows = Tenant.objects.filter(pk__in=companies(request))
    return set(rows.values_list("region", flat=True).distinct())


class StaffOfCompany(MixinBase):
    """Open to superusers and to staff who administer a company."""

    def _may(self, request: HttpRequest) -> bool:
        user = request.user
        if not (user.is_active and user.is_staff):
            return False
        return user.is_superuser or bool(tenant_ids(request))

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self._may(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return self._may(request)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return self._may(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return self._may(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return self._may(request)


class ReadOnly(StaffOfCompany):
    """To be looked at: what the machine writes is not edited by hand."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False


class TenantScoped(StaffOfCompany):
    """Rows of the user's companies only. `tenant_path` leads from a row to its company."""

    tenant_path = "tenant"
    list_before_template = "admin/questions.html"
    # What an empty list says is to be done next, and the name of the page for it.
    if_empty: Any = ""
    if_empty_page = ""
    # What the activity log calls a new row, and fields whose changes are recorded by others.
    created = Verb.CREATED
    recorded_apart: frozenset[str] = frozenset()
    list_per_page = 25
    list_max_show_all = 200
    # Counting millions of rows twice for a list of some helps nobody.
    show_full_result_count = False
    paginator = QuickPaginator

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request)
        if request.user.is_superuser:
            return rows
        return rows.filter(**{f"{self.tenant_path}__in": tenant_ids(request)})

    def get_object(self, request: HttpRequest, object_id: str, from_field: Any = None) -> Any:
        """Read once for a page: its form and what stands above it are about the same row."""
        read: dict[Any, Any] = request.__dict__.setdefault("_console_objects", {})
        key = (self.model, object_id, from_field)
        if key not in read:
            read[key] = super().get_object(request, object_id, from_field)
        return read[key]

    def page_context(self, request: HttpRequest, obj: Any) -> dict[str, Any]:  # noqa: ARG002
        """What the templates of a row's page need beside its form."""
        return {}

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        obj = self.get_object(request, object_id) if object_id else None
        if obj is not None:
            extra_context = {**(extra_context or {}), **self.page_context(request, obj)}
        return super().changeform_view(request, object_id, form_url, extra_context)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[QuickChangeList]:  # noqa: ARG002
        return QuickChangeList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """By how a name, a number or an id begins; what was typed is one phrase."""
        text = search_term.strip()
        if not text:
            return queryset, False
        return self.search(request, queryset, text), False

    def search(self, request: HttpRequest, rows: QuerySet[Any], text: str) -> QuerySet[Any]:
        """Rows of the list that `text`, not empty, is about."""
        return lists.search(
            rows, self.get_search_fields(request), text, regions=regions(request, text)
        )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """What belongs to a company stays there: its messages and files would not move along."""
        fields = super().get_readonly_fields(request, obj)
        return [*fields, "tenant"] if obj is not None and self.tenant_path == "tenant" else fields

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Only what was edited is written: workers change the other columns at the same time."""
        if not change:
            super().save_model(request, obj, form, change)
            self._record(request, obj, self.created)
            return
        columns = obj._meta.concrete_fields
        edited = [column.name for column in columns if column.name in form.changed_data]
        if edited:
            dates = [column.name for column in columns if getattr(column, "auto_now", False)]
            obj.save(update_fields=[*edited, *dates])
            if fields := [name for name in edited if name not in self.recorded_apart]:
                self._record(request, obj, Verb.CHANGED, fields=fields)

    def _record(self, request: HttpRequest, obj: Any, verb: Verb, **detail: Any) -> None:
        record(
            tenant_id=obj.pk if self.tenant_path == "pk" else obj.tenant_id,
            verb=verb,
            actor=actor_of(request),
            subject=obj,
            detail=detail,
            now=timezone.now(),
        )

    def get_changeform_initial_data(self, request: HttpRequest) -> Any:
        """Somebody of one company is not asked which."""
        initial = super().get_changeform_initial_data(request)
        theirs = list(companies(request))
        if self.tenant_path == "tenant" and len(theirs) == 1:
            initial.setdefault("tenant", str(theirs[0]))
        return initial

    def get_list_display(self, request: HttpRequest) -> Any:
        """Whose a row is, where somebody administers several companies."""
        columns = super().get_list_display(request)
        if len(companies(request)) > 1:
            return columns
        return [name for name in columns if name != "tenant"]

    def get_list_filter(self, request: HttpRequest) -> Any:
        """By company, where somebody administers several; never the names of other companies."""
        filters = [name for name in super().get_list_filter(request) if name != "tenant"]
        return [*filters, CompanyFilter] if len(companies(request)) > 1 else filters

    def get_autocomplete_fields(self, request: HttpRequest) -> Any:
        """Only superusers look people up among all there are; others choose from a list."""
        fields = super().get_autocomplete_fields(request)
        if request.user.is_superuser:
            return fields
        return [name for name in fields if self.opts.get_field(name).related_model is not User]

    def formfield_for_foreignkey(
        self, db_field: ForeignKey[Any], request: HttpRequest, **kwargs: Any
    ) -> Any:
        """Choices of a form come from the same companies as the rows."""
        if not request.user.is_superuser and "queryset" not in kwargs:
            related: type[Model] = db_field.remote_field.model
            registered = self.admin_site._registry.get(related)
            if related is Tenant:
                kwargs["queryset"] = Tenant.objects.filter(pk__in=tenant_ids(request))
            elif related is User:
                kwargs["queryset"] = related._default_manager.filter(
                    pk__in=Membership.objects.filter(tenant__in=tenant_ids(request)).values("user")
                ).order_by("username")
            elif isinstance(registered, TenantScoped):
                kwargs["queryset"] = registered.get_queryset(request)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)


class CompanyFilter(SimpleListFilter):
    """One of the companies that somebody administers."""

    title: Any = _("company")
    parameter_name = "company"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        self.tenant_path = model_admin.tenant_path
        return [(str(pk), name) for pk, name in companies(request).items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002
        chosen = self.value()
        if chosen is None:
            return queryset
        # Somebody else's company, or no number at all, has no rows here.
        known = {key for key, _name in self.lookup_choices}
        return queryset.filter(**{self.tenant_path: chosen}) if chosen in known else queryset.none()


class QuestionFilter(SimpleListFilter):
    """A filter whose choices are questions people ask. Subclasses give `questions`.

    `questions` maps a short name to a label and a function from rows to the rows it means.
    """

    title: Any = "question"
    parameter_name = "show"
    questions: dict[str, tuple[Any, Callable[[Any], QuerySet[Any]]]] = {}

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:  # noqa: ARG002
        return [(name, label) for name, (label, _rows) in self.questions.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002
        asked = self.questions.get(self.value() or "")
        return asked[1](queryset) if asked else queryset
