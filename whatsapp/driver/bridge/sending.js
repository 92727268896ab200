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

// A message this page knows, or null.
async function messageBy(id) {
  const known = WPP.whatsapp.MsgStore.get(id);
  if (known || !WPP.chat.get(WPP.whatsapp.MsgKey.fromString(id).remote)) return known || null;
  try {
    return await WPP.chat.getMessageById(id);
  } catch (e) {
    if (e.code !== 'msg_not_found' && e.code !== 'chat_not_found') throw e;
    return null;
  }
}

// A quoted message has to be in the chat: a person's chat may have been theirs by phone when it was
// written and be theirs by LID now.
async function quotable(chat, quote) {
  if (!quote) return undefined;
  const [from, , stanza, ...author] = quote.split('_');
  const here = [from, text(chat.id), stanza, ...author].join('_');
  const m = await messageBy(here).catch(() => null);
  if (!m) throw new Refusal('quote_gone');
  return m;
}

async function dispatch({ chat: chatId, id: wa_id, notAfter, quote }, start) {
  ready();
  const known = WPP.whatsapp.MsgStore.get(wa_id);
  if (known && known.ack >= 1) return { ack: known.ack, t: known.t }; // sent before: not again
  if (busy.has(chatId)) throw new Refusal('chat_busy');
  const chat = isGroup(chatId) ? await writableGroup(chatId) : WPP.chat.get(chatId) || await WPP.chat.find(chatId);
  const key = WPP.whatsapp.MsgKey.fromString(wa_id);
  if (!key.fromMe || !key.remote.equals(chat.id)) throw new Refusal('bad_key');
  const quotedMsg = await quotable(chat, quote);
  if (busy.has(chatId)) throw new Refusal('chat_busy');
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
    stopTyping(chatId);
    result = await start(chat, { ...SEND, messageId: wa_id, quotedMsg });
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

// wa-js's `linkPreview` option looks the link up itself, whatever it is given; so the message is made
// here, and nobody but us has ever seen the link.
const previewed = (body, { url, title, description, thumbnail }) => ({
  type: 'chat', subtype: 'url', body, urlText: null, urlNumber: null,
  matchedText: url, canonicalUrl: url, title, description, thumbnail: thumbnail || undefined,
  richPreviewType: 0, doNotPlayInline: true,
});

Object.assign(ops, {
  sendText: ({ body, preview, ...how }) => dispatch(how, (chat, options) => (preview
    ? WPP.chat.sendRawMessage(chat.id, previewed(body, preview), options)
    : WPP.chat.sendTextMessage(chat.id, body, options))),
  put({ b64, first }) { if (first) parts.length = 0; parts.push(bytes(b64)); return null; },
  sendMedia({ kind, mime, filename, caption, ...how }) {
    const file = takeFile(mime, filename);
    return dispatch(how, (chat, options) => WPP.chat.sendFileMessage(chat.id, file,
      { ...options, type: kind, mimetype: mime, filename, caption: caption || undefined }));
  },
  sendLocation: ({ latitude, longitude, name, address, ...how }) => dispatch(how, (chat, options) =>
    WPP.chat.sendLocationMessage(chat.id, { ...options, lat: latitude, lng: longitude, name, address })),
  async lookup({ id }) {
    if (state() === 'qr') throw new Refusal('not_linked');
    const s = sends.get(id);
    if (s && s.refused) return { found: 'failed', ack: -1, code: 'too_late' };
    const msg = await messageBy(id);
    if (!msg) return { found: 'not_found', ack: null, code: '' };
    const ack = msg.ack == null ? 0 : msg.ack;
    const code = s && s.nack ? 'nack_' + s.nack : '';
    return { found: ack >= 1 ? 'on_server' : ack < 0 ? 'failed' : 'pending', ack, code };
  },
});
