"""Nobody but WhatsApp hears of what is sent: not the page behind a link, no preview server."""

from __future__ import annotations

import time

import pytest

from tests.contract.chromium_rig import ChromiumRig
from tests.contract.media import IMAGE
from tests.contract.rig import CALL, OPEN, link, new_phone
from whatsapp.driver import base

pytestmark = pytest.mark.browser

WATCH = """
const looked = window.looked = [];
document.addEventListener('securitypolicyviolation', (e) => looked.push('blocked ' + e.blockedURI));
for (const name of ['fetchLinkPreview', 'genMinimalLinkPreview']) {
  const real = WPP.whatsapp.functions[name];
  const module = WPP.loader.loadModule(WPP.whatsapp._moduleIdMap.get(real));
  for (const key of Object.keys(module)) {
    if (module[key] !== real) continue;
    module[key] = (...given) => { looked.push(name); return real(...given); };
  }
}
"""
ELSEWHERE = """
return performance.getEntriesByType('resource').map((one) => one.name)
  .filter((url) => /^http/.test(url) && new URL(url).origin !== location.origin)
"""
AS_WA_JS_WOULD = """
const [chat, done] = arguments;
WPP.chat.sendTextMessage(chat, 'https://example.com/', {linkPreview: {title: 'given'}})
  .then(() => done(window.looked));
"""


def test_links_are_looked_at_by_nobody(chromium: ChromiumRig, profile):
    session = link(chromium, profile)
    web = session.driver._browser.web
    web.execute_script(WATCH)
    text = "https://example.com/offre"
    session.send(new_phone(), text)
    out = session.driver.prepare(new_phone(), deadline=CALL)
    preview = base.LinkPreview(text, "Offre", "", IMAGE.data)
    session.driver.send_text(
        out, text, preview=preview, not_after=time.monotonic() + CALL, deadline=CALL
    )
    looked, elsewhere = web.execute_script("return looked"), web.execute_script(ELSEWHERE)
    web.set_script_timeout(OPEN)
    otherwise = web.execute_async_script(AS_WA_JS_WOULD, out.chat_id)
    session.driver.close()

    assert looked == []
    assert elsewhere == []
    assert otherwise != []  # what we keep it from
