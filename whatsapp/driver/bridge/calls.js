// ------------------------------------------------------------------------------ calls
Object.assign(ops, {
  status: () => state(),
  async qr() { // the page keeps its last code after it has stopped showing codes
    if (!window.WPP || !WPP.isInjected) return lastCode || null;
    const code = state() === 'qr' ? await WPP.conn.getAuthCode() : null;
    return code && code.fullCode;
  },
  async refreshQr() { await WPP.conn.refreshQR(); return null; },
  me() {
    if (!window.WPP || !WPP.isInjected || !WPP.conn.isAuthenticated()) throw new Refusal('not_linked');
    const me = WPP.whatsapp.UserPrefs, pn = me.getMaybeMePnUser(), lid = me.getMaybeMeLidUser();
    if (!pn) throw new Refusal('not_linked');
    const name = WPP.whatsapp.Conn.pushname || (me.getMaybeMeDisplayName && me.getMaybeMeDisplayName());
    return { phone: '+' + user(pn), lid: text(lid), name: text(name), platform: text(WPP.whatsapp.Conn.platform) };
  },
  // Before the browser ends: WhatsApp writes acks and messages to its database a little later.
  async quiet({ ms }) {
    for (let left; (left = active + ms - performance.now()) > 0;) await new Promise((ok) => setTimeout(ok, left));
    return null;
  },
  async logout() { ready(); await WPP.conn.logout(); return null; },
});

async function call(forLoad, op, args, timeoutMs) {
  try {
    if (forLoad && forLoad !== load) throw new Refusal('other_load');
    if (state() === 'loading' && !['status', 'qr', 'quiet'].includes(op)) throw new Refusal('loading');
    const endsAt = performance.now() + timeoutMs;
    const value = await until(Promise.resolve(ops[op](args || {}, endsAt)), timeoutMs);
    return JSON.stringify({ ok: value === undefined ? null : value });
  } catch (e) {
    const s = sends.get((args || {}).id);
    if (s) s.waiting = false; // nobody listens any more: its ack comes as an event
    const refused = e instanceof Refusal && e.code !== 'timeout'; // that one comes amid the work
    return JSON.stringify({ err: { code: text((e && e.code) || ''), refused, message: text((e && e.name) || 'Error') } });
  }
}
Object.defineProperty(window, '__relance', { value: Object.freeze({ load, call }) }); // not enumerable

// --------------------------------------------------------------------------- start-up
emit('load', { path: location.pathname });
// A device the phone removed while we were away is told so before wa-js listens; the page then
// reloads itself with this mark.
if (/[?&]post_logout=1/.test(location.search)) emit('logout', (/logout_reason=(\w+)/.exec(location.search) || [])[1] || '');
// A page without a module loader is not WhatsApp Web but its "update your browser" page.
window.addEventListener('load', () => setTimeout(() => {
  if (location.pathname !== config.path || (!window.__d && !window.require)) { unsupported = true; noteState(); }
}, 1000));
document.addEventListener('DOMContentLoaded', () => {
  if (!window.WPP) return;
  watch();
  screen.observe(document, { subtree: true, childList: true, attributeFilter: ['data-ref'] });
  readScreen();
});
