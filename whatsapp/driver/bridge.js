// Our half in the page: turns wa-js (`WPP`) into plain calls and plain, numbered events.
//
// `channel.py` wraps this file in a script that gives it
//   channel  `channel(string)` pushes to Python
//   config   {path: path of the page that wa-js may run on}
// and runs it in the top frame of the configured origin only, before any script of the page.
//
// Calls: `__relance.call(load, op, args, timeoutMs)` resolves to a JSON string, `{"ok": value}` or
// `{"err": {"code", "message"}}`; it never rejects. `load` names one load of the page: a call meant
// for the load before a reload is refused, because clock readings (`notAfter`) are per load.
// Events: JSON strings {l: load, o: time origin, n: 1, 2, 3..., at: wall clock in ms, p: the reading
// of performance.now(), t: type, d: data}.
(function () {
  'use strict';
  if (window.__relance) return;

  const load = performance.timeOrigin + '-' + Math.random().toString(36).slice(2, 10);
  let seq = 0;
  let active = performance.now(); // of the last event or the end of the last send
  function emit(type, data) {
    active = performance.now();
    channel(JSON.stringify({
      l: load, o: performance.timeOrigin, n: ++seq, at: Date.now(), p: active, t: type,
      d: data === undefined ? null : data,
    }));
  }

  const text = (v) => (v == null ? '' : typeof v === 'string' ? v : String(v));
  class Refusal extends Error { // the code is the decision; nothing has left when this is thrown
    constructor(code, message) { super(message || code); this.code = code; }
  }

  // ------------------------------------------------------------------------------- state
  const socketUp = () => WPP.whatsapp.Socket.state === 'CONNECTED';
  let loggedOut = false;

  function state() {
    if (loggedOut) return 'logged_out';
    if (!window.WPP || !WPP.isInjected) return unsupported ? 'unsupported' : lastCode ? 'qr' : 'loading';
    const mode = WPP.conn.getStreamData().mode;
    if (mode === 'CONFLICT') return 'conflict';
    if (mode === 'DEPRECATED_VERSION' || WPP.conn.needsUpdate()) return 'unsupported';
    if (/TOS_BLOCK|PROXYBLOCK/.test(mode)) return 'logged_out';
    if (WPP.conn.isIdle()) return 'qr_idle';
    if (mode === 'QR') return lastCode ? 'qr' : 'loading';
    // `isFullReady` is needed besides: before it wa-js does not hear receipts.
    if (mode === 'MAIN' && WPP.conn.isAuthenticated() && WPP.isFullReady) {
      wasConnected = wasConnected || socketUp();
      return socketUp() ? 'connected' : wasConnected ? 'reconnecting' : 'syncing';
    }
    return wasConnected ? 'reconnecting' : 'syncing';
  }
  let wasConnected = false;
  let unsupported = false;
  let lastCode = '';
  let lastState = '';
  function noteState() {
    let now;
    try { now = state(); } catch (e) { return; } // a module is not bound yet: still loading
    if (now !== lastState) { lastState = now; emit('state', now); }
  }

  // wa-js binds to the page's modules only once they have settled, most of a second after the page
  // shows a code. Until then the code is read off the page, where the element around the picture
  // has long had it as an attribute; where it has not, it comes when wa-js tells it.
  let drawn = false;
  function readScreen() {
    const at = document.querySelector('[data-ref]');
    const found = at && /^\d@[^,]+(,[^,]+){3}/.exec(at.getAttribute('data-ref')); // as wa-js puts it
    const code = found ? found[0] : '';
    if (code === lastCode) return;
    lastCode = code;
    if (code) { drawn = true; emit('qr', code); }
    noteState();
  }
  const screen = new MutationObserver(readScreen);
  function wired() { // wa-js listens from now on
    screen.disconnect();
    // It does not tell of a log-in that somebody quick has made before. It looks in a timer, too.
    setTimeout(() => { if (drawn && WPP.conn.isAuthenticated()) linked(); }, 0);
  }
  let told = false;
  function linked() {
    lastCode = '';
    if (!told) emit('linked');
    told = true;
    noteState();
  }

  // ---------------------------------------------------------------------------- incoming
  const SYSTEM = new Set(['protocol', 'gp2', 'e2e_notification', 'notification', 'ciphertext',
    'notification_template', 'broadcast_notification', 'call_log', 'newsletter_notification', 'debug']);
  const WORDS = new Set(['chat', 'buttons_response', 'list_response', 'template_button_reply']);
  const seen = new Set(); // ids given out as events or by unread() since this load

  const lidPn = () => WPP.whatsapp.lidPnCache;
  const pnOf = (wid) => (wid && wid.isLid() ? lidPn().getPhoneNumber(wid) : wid);
  const lidOf = (wid) => (wid && wid.isLid() ? wid : wid && lidPn().getCurrentLid(wid));
  const user = (wid) => text(wid).split('@')[0].split(':')[0];

  function incoming(m) {
    const chat = m.id.remote;
    if (m.id.fromMe || SYSTEM.has(m.type) || /@(broadcast|newsletter)$/.test(text(chat))) return null;
    const author = m.author || m.id.participant;
    const sender = author || chat;
    const known = sender.isLid && (sender.isLid() || sender.isUser()) ? sender : null;
    const contact = known && WPP.whatsapp.ContactStore.get(known);
    const pn = pnOf(known);
    return {
      id: text(m.id), chat: text(chat), phone: pn ? '+' + user(pn) : '', lid: text(lidOf(known)),
      name: m.notifyName || (contact && (contact.pushname || contact.name)) || '',
      kind: m.type, body: text(WORDS.has(m.type) ? m.body : m.caption), t: m.t, author: text(author),
    };
  }
  function onMessage(m) {
    const data = incoming(m);
    if (!data || seen.has(data.id)) return;
    seen.add(data.id);
    emit('message', data);
  }

  // --------------------------------------------------------------------- watching wa-js
  function watch() {
    let reason = '';
    for (const name of ['conn.stream_mode_changed', 'conn.stream_info_changed', 'conn.main_ready',
      'conn.qrcode_idle', 'conn.needs_update', 'conn.require_auth', 'loader.injected', 'loader.full_ready'])
      WPP.on(name, () => queueMicrotask(noteState));
    WPP.on('loader.injected', () => WPP.whatsapp.Socket.on('change:state', () => queueMicrotask(noteState)));
    WPP.on('loader.injected', wired);
    WPP.on('loader.full_ready', guardSending);
    WPP.on('conn.auth_code_change', (code) => {
      const full = code ? code.fullCode : '';
      if (full && full !== lastCode) { lastCode = full; emit('qr', full); }
      if (!full) lastCode = '';
      noteState();
    });
    WPP.on('conn.authenticated', linked);
    WPP.on('conn.logout_reason', (r) => { reason = text(r); });
    WPP.on('conn.logout', () => { if (!loggedOut) { loggedOut = true; lastState = 'logged_out'; emit('logout', reason); } });
    WPP.on('chat.new_message', onMessage);
    WPP.on('chat.msg_ack_change', (a) => {
      const ids = a.ids.map(text);
      // The call that sends is about to return this very ack.
      if (a.ack === 1 && ids.every((id) => sends.has(id) && sends.get(id).waiting)) return;
      emit('receipt', { ids, ack: a.ack, participant: text(a.sender) });
    });
  }

  // --------------------------------------------------------------------------- sending
  // What the page has been told to send: id -> {notAfter, refused, nack, waiting}. Kept after the call: the
  // page may try again by itself when the socket is back, and must still not do so too late.
  const sends = new Map();
  const busy = new Set(); // chats with a send that has not ended: WhatsApp queues behind it

  const late = (s) => performance.now() > s.notAfter;

  function guardSending() {
    // The last step before the wire, after uploads and queues. Unlike the check in `dispatch` it
    // needs one internal function; where a newer page has none of that shape, the check remains.
    const fn = WPP.whatsapp.functions.encryptAndSendMsg;
    const id = fn && WPP.whatsapp._moduleIdMap.get(fn);
    const module = id && WPP.loader.loadModule(id);
    if (!module || module.encryptAndSendMsg !== fn) return emit('unguarded');
    module.encryptAndSendMsg = async function (record, ...rest) {
      const s = sends.get(text(record && record.data && record.data.id));
      if (s && late(s)) { s.refused = true; throw new Error('not sent: too late'); }
      const result = await fn.call(this, record, ...rest);
      if (s && result && result.error) s.nack = result.error.code || result.error;
      return result;
    };
  }

  const until = (promise, ms) => {
    let timer;
    const out = new Promise((_, no) => { timer = setTimeout(() => no(new Refusal('timeout')), Math.max(0, ms)); });
    return Promise.race([promise, out]).finally(() => clearTimeout(timer));
  };

  function ready() {
    const now = state();
    if (now === 'connected') return;
    throw new Refusal(now === 'reconnecting' ? 'offline' : now);
  }

  async function dispatch(chatId, wa_id, notAfter, start) {
    ready();
    const known = WPP.whatsapp.MsgStore.get(wa_id);
    if (known && known.ack >= 1) return { ack: known.ack, t: known.t }; // sent before: not again
    if (busy.has(chatId)) throw new Refusal('chat_busy');
    const chat = WPP.chat.get(chatId) || await WPP.chat.find(chatId);
    const key = WPP.whatsapp.MsgKey.fromString(wa_id);
    if (!key.fromMe || !key.remote.equals(chat.id)) throw new Refusal('bad_key');
    if (known && known.ack < 0) { // wa-js waits for ever for the "add" of a file it already has
      chat.msgs.remove(known);
      WPP.whatsapp.MsgStore.remove(known);
    }
    const s = { notAfter, refused: false, nack: null, waiting: true };
    if (late(s)) throw new Refusal('too_late');
    ready();
    sends.set(wa_id, s);
    if (sends.size > 1000) sends.delete(sends.keys().next().value);
    busy.add(chatId);
    let result;
    try {
      result = await start(chat);
    } catch (e) {
      if (s.refused) throw new Refusal('too_late');
      throw e;
    } finally {
      busy.delete(chatId);
      active = performance.now();
    }
    const msg = WPP.whatsapp.MsgStore.get(wa_id);
    const sent = result.sendMsgResult || {};
    const ack = Math.max(result.ack || 0, msg && msg.ack != null ? msg.ack : -9);
    if (s.refused) {
      if (msg) msg.set({ ack: -1 });
      throw new Refusal('too_late');
    }
    if (sent.messageSendResult === 'OK' && msg && msg.ack < 1) await acked(msg);
    return { result: sent.messageSendResult || '', ack: msg ? msg.ack : ack, nack: s.nack, t: sent.t || (msg && msg.t) };
  }
  const acked = (msg) => new Promise((ok) => { // bounded by the call's own timer
    const check = () => { if (msg.ack >= 1 || msg.ack < 0) { msg.off('change:ack', check); ok(); } };
    msg.on('change:ack', check);
    check();
  });

  const SEND = { linkPreview: false, markIsRead: false, detectMentioned: false, waitForAck: true };
  const parts = []; // the bytes of a file on its way in, see `put`
  const bytes = (b64) => (Uint8Array.fromBase64 ? Uint8Array.fromBase64(b64)
    : Uint8Array.from(atob(b64), (c) => c.charCodeAt(0)));

  function takeFile(mime, filename) {
    return new File(parts.splice(0), filename, { type: mime });
  }

  async function exists(phone) {
    // Not WPP.contact.queryExists: it answers "no" (and remembers it) when the query failed.
    const wid = WPP.whatsapp.WidFactory.createWid(phone.replace(/\D/g, '') + '@c.us');
    const found = await WPP.whatsapp.functions.queryWidExists(wid);
    if (!found || !found.wid) return null;
    return { wid: found.wid, lid: found.lid || lidOf(found.wid), business: !!found.biz };
  }

  // ------------------------------------------------------------------------------ calls
  const ops = {
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
    async numberExists({ phone }) {
      ready();
      const found = await exists(phone);
      return found && { chat: text(found.wid), lid: text(found.lid), business: found.business };
    },
    async prepare({ phone }) {
      ready();
      const wid = WPP.whatsapp.WidFactory.createWid(phone.replace(/\D/g, '') + '@c.us');
      const lid = lidOf(wid);
      let chat = WPP.chat.get(wid) || (lid && WPP.chat.get(lid));
      if (!chat) {
        const found = await exists(phone);
        if (!found) throw new Refusal('not_on_whatsapp');
        chat = await WPP.chat.find(found.wid);
      }
      if (busy.has(text(chat.id))) throw new Refusal('chat_busy');
      return { chat: text(chat.id), id: text(await WPP.chat.generateMessageID(chat)) };
    },
    sendText: ({ chat, id, body, notAfter }) =>
      dispatch(chat, id, notAfter, (c) => WPP.chat.sendTextMessage(c.id, body, { ...SEND, messageId: id })),
    put({ b64, first }) { if (first) parts.length = 0; parts.push(bytes(b64)); return null; },
    sendMedia({ chat, id, kind, mime, filename, caption, notAfter }) {
      const file = takeFile(mime, filename);
      return dispatch(chat, id, notAfter, (c) => WPP.chat.sendFileMessage(c.id, file,
        { ...SEND, messageId: id, type: kind, mimetype: mime, filename, caption: caption || undefined }));
    },
    async lookup({ id }) {
      if (state() === 'qr') throw new Refusal('not_linked');
      const s = sends.get(id);
      if (s && s.refused) return { found: 'failed', ack: -1, code: 'too_late' };
      const chat = WPP.whatsapp.MsgKey.fromString(id).remote;
      let msg;
      try {
        msg = WPP.whatsapp.MsgStore.get(id) || (WPP.chat.get(chat) && await WPP.chat.getMessageById(id));
      } catch (e) {
        if (e.code !== 'msg_not_found' && e.code !== 'chat_not_found') throw e;
      }
      if (!msg) return { found: 'not_found', ack: null, code: '' };
      const ack = msg.ack == null ? 0 : msg.ack;
      const code = s && s.nack ? 'nack_' + s.nack : '';
      return { found: ack >= 1 ? 'on_server' : ack < 0 ? 'failed' : 'pending', ack, code };
    },
    async unread() {
      ready();
      const out = [];
      for (const chat of await WPP.chat.list({ onlyWithUnreadMessage: true, ignoreGroupMetadata: true })) {
        const want = Math.min(Math.max(chat.unreadCount || 0, 0), 200);
        if (!want) continue;
        // More than wanted: the tail of a chat holds our own messages too.
        const stored = await WPP.chat.getMessages(chat.id, { count: want + 30 }).catch(() => []);
        const all = new Map([...stored, ...chat.msgs.getModelsArray()].map((m) => [text(m.id), m]));
        const theirs = [...all.values()].map(incoming).filter(Boolean).sort((a, b) => a.t - b.t);
        for (const m of theirs.slice(-want)) if (!seen.has(m.id)) { seen.add(m.id); out.push(m); }
      }
      return out;
    },
    // Before the browser ends: WhatsApp writes acks and messages to its database a little later.
    async quiet({ ms }) {
      for (let left; (left = active + ms - performance.now()) > 0;) await new Promise((ok) => setTimeout(ok, left));
      return null;
    },
    async logout() { ready(); await WPP.conn.logout(); return null; },
  };

  async function call(forLoad, op, args, timeoutMs) {
    try {
      if (forLoad && forLoad !== load) throw new Refusal('other_load');
      if (state() === 'loading' && !['status', 'qr', 'quiet'].includes(op)) throw new Refusal('loading');
      const value = await until(Promise.resolve(ops[op](args || {})), timeoutMs);
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
})();
