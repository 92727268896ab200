// ---------------------------------------------------------------------------- incoming
const SYSTEM = new Set(['protocol', 'gp2', 'e2e_notification', 'notification', 'ciphertext',
  'notification_template', 'broadcast_notification', 'call_log', 'newsletter_notification', 'debug']);
const FILES = new Set(['image', 'video', 'document', 'audio', 'ptt', 'ptv', 'sticker']);
// Their body is a small picture, not words. Of a type nobody has heard of the body is kept.
const PICTURED = new Set([...FILES, 'location', 'live_location', 'product', 'order', 'groups_v4_invite']);
const seen = new Set(); // ids given out as events or by unread() since this load

const lidPn = () => WPP.whatsapp.lidPnCache;
const pnOf = (wid) => (wid && wid.isLid() ? lidPn().getPhoneNumber(wid) : wid);
const lidOf = (wid) => (wid && wid.isLid() ? wid : wid && lidPn().getCurrentLid(wid));
const bare = (wid) => text(wid).replace(/:\d+@/, '@'); // without the device
const user = (wid) => text(wid).split('@')[0].split(':')[0];

const phoneOf = (wid) => { const pn = isPerson(wid) && pnOf(wid); return pn ? '+' + user(pn) : ''; };
const isPerson = (wid) => !!(wid && wid.isLid && (wid.isLid() || wid.isUser()));
const myLid = () => WPP.whatsapp.UserPrefs.getMaybeMeLidUser();
const isMe = (wid) => [WPP.whatsapp.UserPrefs.getMaybeMePnUser(), myLid()]
  .some((me) => me && wid && bare(me) === bare(wid));

function nameOf(wid) {
  const contact = isPerson(wid) && WPP.whatsapp.ContactStore.get(wid);
  return contact ? text(contact.pushname || contact.name) : '';
}

// The key of a quoted message, as the one that quotes it says it.
function quotedKey(m) {
  if (!m.quotedStanzaID) return '';
  const mine = isMe(m.quotedParticipant), chat = bare(m.quotedRemoteJid || m.id.remote);
  const author = /@g\.us$/.test(chat) ? '_' + bare(mine ? myLid() : m.quotedParticipant) : '';
  return `${mine}_${chat}_${m.quotedStanzaID}${author}`;
}

function placeOf(m) {
  if (!/location$/.test(m.type)) return null;
  const [name = '', ...address] = text(m.loc).split('\n');
  return { latitude: Number(m.lat), longitude: Number(m.lng), name, address: address.join('\n') };
}

function fileOf(m) {
  if (!FILES.has(m.type) && !(m.mimetype && m.directPath)) return null;
  return { mime: text(m.mimetype), filename: text(m.filename), size: Math.min(Math.max(Number(m.size) || 0, 0), 2 ** 50) };
}

function wordsOf(m) {
  if (!PICTURED.has(m.type)) return text(m.body || m.caption);
  return m.caption === m.filename ? '' : text(m.caption); // a document without words has its name there
}

function incoming(m) {
  const chat = m.id.remote, fromMe = !!m.id.fromMe;
  if (SYSTEM.has(m.type) || /@(broadcast|newsletter)$/.test(text(chat))) return null;
  if (fromMe && sends.has(text(m.id))) return null;
  const inGroup = chat.isGroup();
  const author = m.author || m.id.participant || (inGroup && fromMe ? myLid() : null);
  const other = author || chat, lid = isPerson(other) ? text(lidOf(other)) : '';
  return {
    id: text(m.id), chat: text(chat), phone: phoneOf(other), lid,
    name: fromMe ? text(WPP.whatsapp.Conn.pushname) : text(m.notifyName || nameOf(other)),
    kind: text(m.type), body: wordsOf(m), t: Math.min(Number(m.t) || 0, 2 ** 32), author: bare(author),
    authorPhone: author ? phoneOf(author) : '', authorLid: author ? lid : '',
    fromMe, quoted: quotedKey(m), location: placeOf(m), media: fileOf(m),
  };
}
// What one of them looks like must not hide the others.
function readable(m) {
  try {
    return incoming(m);
  } catch (e) {
    emit('unreadable', text(e && e.name));
    return null;
  }
}
function onMessage(m) {
  const data = readable(m);
  if (!data || seen.has(data.id)) return;
  seen.add(data.id);
  emit('message', data);
}

// Everything of a chat from `since` (s), as far as this profile has it, oldest first.
async function storedSince(chat, since) {
  for (let count = 50; ; count *= 4) {
    const found = await stored(chat, count);
    if (found.length < count || found[0].t < since || count > 10000) return found.filter((m) => m.t >= since);
  }
}
async function stored(chat, count) {
  const kept = await WPP.chat.getMessages(chat.id, { count }).catch(() => []);
  // It begins before the last message, which it has only when that one is in memory.
  const last = chat.lastReceivedKey && await messageBy(text(chat.lastReceivedKey)).catch(() => null);
  const known = [...kept, ...chat.msgs.getModelsArray(), ...(last ? [last] : [])];
  const all = new Map(known.map((m) => [text(m.id), m]));
  return [...all.values()].sort((a, b) => a.t - b.t);
}

const files = new Map(); // id of a message -> its Blob, on its way to Python

Object.assign(ops, {
  async unread({ since }, endsAt) {
    ready();
    const out = new Map();
    const some = { onlyWithUnreadMessage: since == null, ignoreGroupMetadata: true };
    for (const chat of await WPP.chat.list(some)) {
      let messages;
      if (since != null) {
        if (chat.t < since) continue;
        messages = (await storedSince(chat, since)).map(readable).filter(Boolean);
      } else {
        const want = Math.min(Math.max(chat.unreadCount || 0, 0), 200);
        if (!want) continue;
        // More than wanted: the tail of a chat holds our own messages too.
        const all = (await stored(chat, want + 30)).map(readable).filter(Boolean);
        const first = all.filter((m) => !m.fromMe).slice(-want)[0];
        messages = first ? all.slice(all.indexOf(first)) : [];
      }
      for (const m of messages) if (!seen.has(m.id)) out.set(m.id, m);
    }
    const fresh = [...out.values()].filter((m) => !seen.has(m.id)); // some were events meanwhile
    // After its time nobody takes the answer: they are given out when they are asked for again.
    if (performance.now() < endsAt) for (const m of fresh) seen.add(m.id);
    return fresh.sort((a, b) => a.t - b.t);
  },
  async download({ id, limit }) {
    ready();
    const m = await messageBy(id);
    const said = m && fileOf(m);
    if (!said) throw new Refusal('media_gone');
    if (said.size > limit) throw new Refusal('media_too_large');
    files.clear();
    let blob;
    try {
      blob = await WPP.chat.downloadMedia(id);
    } catch (e) {
      ready(); // offline: it is not gone
      if (/MISSING|UNSUPPORTED/.test(text(m.mediaData && m.mediaData.mediaStage))) throw new Refusal('media_gone');
      throw e;
    }
    if (blob.size > limit) throw new Refusal('media_too_large');
    files.set(id, blob);
    return { ...said, kind: text(m.type), size: blob.size };
  },
  async piece({ id, from, to }) {
    const blob = files.get(id);
    if (!blob) throw new Refusal('media_lost');
    if (to >= blob.size) files.delete(id);
    return new Promise((ok, no) => {
      const reader = new FileReader();
      reader.onload = () => ok(reader.result.split(',')[1] || '');
      reader.onerror = () => no(new Refusal('media_lost'));
      reader.readAsDataURL(blob.slice(from, to));
    });
  },
});
