from django.urls import path

from campaigns.api import broadcasts, content, messages, people, referrals, segments, stats, targets

_MESSAGE = "messages/<uuid:public_id>"
_CAMPAIGN = "campaigns/<int:pk>"
_TARGET = "targets/<int:pk>"
_BROADCAST = "broadcasts/<int:pk>"
_SEGMENT = "segments/<int:pk>"

urlpatterns = [
    path("messages", messages.MessagesView.as_view(), name="messages"),
    path(_MESSAGE, messages.MessageView.as_view(), name="message"),
    path(_MESSAGE + "/retry", messages.MessageRetryView.as_view(), name="message-retry"),
    path(_MESSAGE + "/cancel", messages.MessageCancelView.as_view(), name="message-cancel"),
    path(_MESSAGE + "/settle", messages.MessageSettleView.as_view(), name="message-settle"),
    path("referrals", referrals.ReferralsView.as_view(), name="referrals"),
    path("referrals/<int:pk>", referrals.ReferralView.as_view(), name="referral"),
    path("internal/referrals", referrals.PushView.as_view(), name="referrals-push"),
    path("targets", targets.TargetsView.as_view(), name="targets"),
    path("targets/pause", targets.TargetsPauseView.as_view(), name="targets-pause"),
    path("targets/resume", targets.TargetsResumeView.as_view(), name="targets-resume"),
    path("targets/exit", targets.TargetsExitView.as_view(), name="targets-exit"),
    path(_TARGET, targets.TargetView.as_view(), name="target"),
    path(_TARGET + "/pause", targets.TargetPauseView.as_view(), name="target-pause"),
    path(_TARGET + "/resume", targets.TargetResumeView.as_view(), name="target-resume"),
    path(_TARGET + "/exit", targets.TargetExitView.as_view(), name="target-exit"),
    path("campaigns", content.CampaignsView.as_view(), name="campaigns"),
    path(_CAMPAIGN, content.CampaignView.as_view(), name="campaign"),
    path(_CAMPAIGN + "/activate", content.CampaignActivateView.as_view(), name="activate"),
    path(_CAMPAIGN + "/deactivate", content.CampaignDeactivateView.as_view(), name="deactivate"),
    path(_CAMPAIGN + "/steps", content.StepsView.as_view(), name="steps"),
    path("steps/<int:pk>", content.StepView.as_view(), name="step"),
    path(
        "steps/<int:pk>/templates/<slug:language>",
        content.TemplateView.as_view(),
        name="template",
    ),
    path("templates/preview", content.PreviewView.as_view(), name="preview"),
    path("segments", segments.SegmentsView.as_view(), name="segments"),
    path("segments/preview", segments.SegmentPreviewView.as_view(), name="segment-preview"),
    path(_SEGMENT, segments.SegmentView.as_view(), name="segment"),
    path(_SEGMENT + "/people", segments.SegmentPeopleView.as_view(), name="segment-people"),
    path("broadcasts", broadcasts.BroadcastsView.as_view(), name="broadcasts"),
    path(_BROADCAST, broadcasts.BroadcastView.as_view(), name="broadcast"),
    path(
        _BROADCAST + "/texts/<slug:language>",
        broadcasts.BroadcastTextView.as_view(),
        name="broadcast-text",
    ),
    path(
        _BROADCAST + "/rehearsal",
        broadcasts.BroadcastRehearsalView.as_view(),
        name="broadcast-rehearsal",
    ),
    path(
        _BROADCAST + "/recipients",
        broadcasts.BroadcastRecipientsView.as_view(),
        name="broadcast-recipients",
    ),
    path(_BROADCAST + "/start", broadcasts.BroadcastStartView.as_view(), name="broadcast-start"),
    path(
        _BROADCAST + "/withdraw",
        broadcasts.BroadcastWithdrawView.as_view(),
        name="broadcast-withdraw",
    ),
    path(_BROADCAST + "/pause", broadcasts.BroadcastPauseView.as_view(), name="broadcast-pause"),
    path(_BROADCAST + "/resume", broadcasts.BroadcastResumeView.as_view(), name="broadcast-resume"),
    path(_BROADCAST + "/cancel", broadcasts.BroadcastCancelView.as_view(), name="broadcast-cancel"),
    path("people/export", people.PersonExportView.as_view(), name="person-export"),
    path("people/delete", people.PersonDeleteView.as_view(), name="person-delete"),
    path("stats/messages", stats.StatsMessagesView.as_view(), name="stats-messages"),
    path("stats/funnel", stats.StatsFunnelView.as_view(), name="stats-funnel"),
    path("stats/accounts", stats.StatsAccountsView.as_view(), name="stats-accounts"),
    path("stats/usage", stats.StatsUsageView.as_view(), name="stats-usage"),
    path("stats/failures", stats.StatsFailuresView.as_view(), name="stats-failures"),
    path("stats/open", stats.StatsOpenView.as_view(), name="stats-open"),
]
