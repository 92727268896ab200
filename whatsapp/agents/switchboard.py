"""From a `ChatAgent` row to the agent that it describes, and from a contact to what it is told."""

from __future__ import annotations

from django.conf import settings

from accounts.models import Tenant
from accounts.sealed import CannotUnseal
from whatsapp.agents.protocol import MAX_BYTES, Agent, NoAnswer
from whatsapp.agents.retell import Retell
from whatsapp.agents.rules import Rule, Rules
from whatsapp.agents.webhook import Webhook
from whatsapp.models import Account, ChatAgent, Contact
from whatsapp.webhooks.delivery import fetcher

Kind = ChatAgent.Kind


def connect(agent: ChatAgent) -> Agent:
    """The agent of a row. Raises `NoAnswer` (``bad_setup``) when the row lacks something."""
    try:
        match agent.kind:
            case Kind.RULES:
                return Rules(
                    rules=[
                        Rule(rule.keywords, rule.answer, rule.language)
                        for rule in agent.rules.all()
                    ],
                    fallback=agent.config.get("fallback") or {},
                    default_language=agent.tenant.default_language,
                )
            case Kind.WEBHOOK:
                return Webhook(agent.config["url"], agent.secret(), fetcher(largest=MAX_BYTES))
            case Kind.RETELL:
                return Retell(
                    agent_id=agent.config["agent_id"],
                    api_key=agent.secret().decode(),
                    base_url=settings.RETELL_URL,
                )
    except KeyError as error:
        raise NoAnswer("bad_setup", f"the agent’s {error.args[0]} is not set") from error
    except CannotUnseal as error:
        raise NoAnswer("bad_setup", "the agent’s secret is not set, or cannot be read") from error
    raise NoAnswer("bad_setup", f"“{agent.kind}” is no kind of agent")


def language_of(contact: Contact, tenant: Tenant) -> str:
    return contact.language or tenant.default_language


def variables_of(contact: Contact, account: Account) -> dict[str, str]:
    """What an agent is told of a contact; see `Question.variables`."""
    return {
        "contact_name": contact.name,
        "contact_phone": contact.phone,
        "contact_language": language_of(contact, account.tenant),
        "account": account.name,
        "company": account.tenant.name,
    }


def is_remote(agent: ChatAgent) -> bool:
    """Whether asking it takes time that the contact should see somebody typing in."""
    return agent.kind != Kind.RULES
