"""`/api/v1/agents`: what answers chats, made, changed, given to accounts and deleted."""

import pytest

from accounts.models import Activity
from tests import companies
from tests.factories import make_account
from whatsapp.agents.switchboard import connect
from whatsapp.models import AgentRule, ChatAgent
from whatsapp.webhooks import signing

URL = "/api/v1/agents"
RULE = {"keywords": ["prix", "combien"], "language": "fr", "answer": "12 €"}
RULES = {"name": "reception", "kind": "rules", "rules": [RULE], "fallback": {"fr": "Pardon ?"}}
WEBHOOK = {"name": "assistant", "kind": "webhook", "url": "https://crm.example/answer"}
RETELL = {"name": "retell", "kind": "retell", "agentId": "agent_1", "apiKey": "key_abc"}


def post(client, **body):
    return client.post(URL, body, format="json")


def patch(client, pk, **body):
    return client.patch(f"{URL}/{pk}", body, format="json")


def field(answer):
    assert answer.status_code == 400, answer.json()
    return answer.json()["errors"][0]["field"]


def test_rules_are_made_given_to_an_account_and_read(acme, max_):
    account = make_account(acme.tenant)
    answer = post(max_, **RULES, accounts=[account.pk])
    assert (answer.status_code, answer.json().pop("secret")) == (201, "")
    found = max_.get(f"{URL}/{answer.json()['id']}").json()
    assert {name: found[name] for name in RULES} == RULES
    assert (found["accounts"], found["enabled"], found["timeoutSeconds"]) == (
        [account.pk],
        True,
        15,
    )
    assert max_.get(URL).json()["results"] == [found]
    account.refresh_from_db()
    assert account.agent_id == found["id"]
    assert Activity.objects.filter(verb="created", subject_id=found["id"]).exists()


def test_a_webhooks_secret_is_made_and_shown_once(max_):
    answer = post(max_, **WEBHOOK)
    secret = answer.json()["secret"]
    assert answer["Cache-Control"] == "no-store"
    assert signing.read(secret) == ChatAgent.objects.get().secret()
    assert "secret" not in max_.get(f"{URL}/{answer.json()['id']}").json()
    moved = patch(max_, answer.json()["id"], url="https://crm.example/other").json()
    assert (moved["secret"], moved["url"]) == ("", "https://crm.example/other")
    assert signing.read(secret) == ChatAgent.objects.get().secret()


def test_a_webhook_gets_a_new_secret_and_other_kinds_have_none(max_):
    first = post(max_, **WEBHOOK).json()
    answer = max_.post(f"{URL}/{first['id']}/secret")
    assert answer["Cache-Control"] == "no-store"
    assert signing.read(answer.json()["secret"]) == ChatAgent.objects.get().secret()
    assert answer.json()["secret"] != first["secret"]
    rules = post(max_, **RULES).json()
    assert max_.post(f"{URL}/{rules['id']}/secret").status_code == 409


def test_retells_key_goes_in_sealed_and_never_comes_out(max_):
    answer = post(max_, **RETELL)
    assert answer.status_code == 201, answer.json()
    agent = ChatAgent.objects.get()
    assert agent.secret() == b"key_abc"
    assert b"key_abc" not in bytes(agent.sealed_secret)
    changed = patch(max_, agent.pk, agentId="agent_2")
    assert "key_abc" not in answer.content.decode() + changed.content.decode()
    agent.refresh_from_db()
    assert (agent.secret(), agent.config) == (b"key_abc", {"agent_id": "agent_2"})


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        (WEBHOOK | {"url": "http://127.0.0.1:9/"}, "url"),
        (WEBHOOK | {"url": "http://10.0.0.1:22/"}, "url"),
        (WEBHOOK | {"url": "http://169.254.169.254/"}, "url"),
        (WEBHOOK | {"url": "https://[::1]/"}, "url"),
        (WEBHOOK | {"url": "http://2130706433/"}, "url"),
        (WEBHOOK | {"url": "file:///etc/passwd"}, "url"),
        ({"name": "x", "kind": "webhook"}, "url"),
        (WEBHOOK | {"secret": "mine"}, "secret"),
        (RETELL | {"agentId": ""}, "agentId"),
        ({"name": "x", "kind": "retell", "agentId": "agent_1"}, "apiKey"),
        ({"name": "x", "kind": "retell", "apiKey": "key"}, "agentId"),
        (RULES | {"url": "https://crm.example/"}, "url"),
        (RULES | {"apiKey": "key"}, "apiKey"),
        (WEBHOOK | {"rules": [RULE]}, "rules"),
        (RULES | {"kind": "human"}, "kind"),
        (RULES | {"name": ""}, "name"),
        (RULES | {"timeoutSeconds": 61}, "timeoutSeconds"),
        (RULES | {"answersPerHour": 0}, "answersPerHour"),
        (RULES | {"idleMinutes": 10**30}, "idleMinutes"),
        (RULES | {"fallback": {"french": "Pardon ?"}}, "fallback"),
        (RULES | {"apology": {"fr": "x" * 4097}}, "apology.fr"),
        (RULES | {"rules": [RULE | {"keywords": []}]}, "rules[0].keywords"),
        (RULES | {"rules": [RULE, RULE | {"answer": ""}]}, "rules[1].answer"),
        (RULES | {"accounts": [999_999]}, "accounts"),
        ({"kind": "rules"}, "name"),
    ],
)
def test_an_agent_that_could_not_work_names_its_field_and_is_not_made(max_, body, wrong):
    assert field(post(max_, **body)) == wrong
    assert not ChatAgent.objects.exists()


def test_an_account_of_another_company_is_nobodys(acme, other, max_):
    theirs = make_account(other.tenant)
    assert field(post(max_, **RULES, accounts=[theirs.pk])) == "accounts"
    theirs.refresh_from_db()
    assert theirs.agent is None


def test_a_name_that_is_taken_is_refused(max_):
    post(max_, **RULES)
    assert field(post(max_, **RULES)) == "name"
    other = post(max_, **WEBHOOK).json()
    assert field(patch(max_, other["id"], name="reception")) == "name"


def test_what_is_not_named_stays_and_rules_are_replaced(max_):
    made = post(max_, **RULES).json()
    changed = patch(max_, made["id"], timeoutSeconds=5).json()
    assert changed == made | {"timeoutSeconds": 5}
    rules = [{"keywords": ["ouvert"], "language": "", "answer": "Oui"}, RULE]
    assert patch(max_, made["id"], rules=rules).json()["rules"] == rules
    assert AgentRule.objects.count() == 2
    patch(max_, made["id"], rules=[RULE | {"keywords": ["x" * 81]}])
    assert AgentRule.objects.count() == 2


def test_accounts_are_given_and_taken_away(acme, max_):
    first, second = make_account(acme.tenant), make_account(acme.tenant)
    made = post(max_, **RULES, accounts=[first.pk]).json()
    assert patch(max_, made["id"], accounts=[second.pk]).json()["accounts"] == [second.pk]
    first.refresh_from_db()
    assert first.agent is None


def test_no_secret_goes_from_one_kind_to_another(max_):
    retell = post(max_, **RETELL).json()
    became = patch(max_, retell["id"], kind="webhook", url=WEBHOOK["url"]).json()
    agent = ChatAgent.objects.get()
    assert agent.secret() == signing.read(became["secret"]) != b"key_abc"
    assert field(patch(max_, agent.pk, kind="retell", agentId="agent_1")) == "apiKey"
    patch(max_, agent.pk, kind="rules")
    agent.refresh_from_db()
    assert (agent.kind, agent.config, bytes(agent.sealed_secret)) == ("rules", {}, b"")
    assert connect(agent)


def test_a_deleted_agent_is_gone_and_its_accounts_have_none(acme, max_):
    account = make_account(acme.tenant)
    made = post(max_, **RULES, accounts=[account.pk]).json()
    assert max_.delete(f"{URL}/{made['id']}").status_code == 204
    assert max_.get(f"{URL}/{made['id']}").status_code == 404
    account.refresh_from_db()
    assert account.agent is None
    assert Activity.objects.filter(verb="deleted", subject_id=made["id"]).exists()


@pytest.mark.parametrize("name", ["amina", "vera"])
def test_only_administrators_have_to_do_with_agents(acme, max_, name):
    made = post(max_, **RULES).json()["id"]
    client = companies.client(acme.people[name])
    for answer in (client.get(URL), post(client, **WEBHOOK), patch(client, made, name="x"),
                   client.delete(f"{URL}/{made}")):  # fmt: skip
        assert answer.status_code == 403
    assert ChatAgent.objects.get().name == "reception"


def test_a_key_reads_or_writes_as_its_scopes_say(acme, max_):
    made = post(max_, **RULES).json()["id"]
    reader = companies.program(acme, "agents:read")
    assert reader.get(f"{URL}/{made}").status_code == 200
    assert patch(reader, made, enabled=False).status_code == 403
    writer = companies.program(acme, "agents:write")
    assert patch(writer, made, enabled=False).json()["enabled"] is False
    assert writer.get(URL).status_code == 403
