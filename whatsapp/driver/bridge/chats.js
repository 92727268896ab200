// -------------------------------------------------------------------- people and groups
const isGroup = (id) => /@g\.us$/.test(id);

async function exists(phone) {
  // Not WPP.contact.queryExists: it answers "no" (and remembers it) when the query failed.
  const wid = WPP.whatsapp.WidFactory.createWid(phone.replace(/\D/g, '') + '@c.us');
  const found = await WPP.whatsapp.functions.queryWidExists(wid);
  if (!found || !found.wid) return null;
  return { wid: found.wid, lid: found.lid || lidOf(found.wid), business: !!found.biz };
}

async function personChat(to) {
  const wid = WPP.whatsapp.WidFactory.createWid(/@lid$/.test(to) ? to : to.replace(/\D/g, '') + '@c.us');
  if (isMe(wid)) throw new Refusal('own_number');
  const pn = pnOf(wid), lid = lidOf(wid);
  const chat = (pn && WPP.chat.get(pn)) || (lid && WPP.chat.get(lid));
  if (chat) return chat;
  if (!pn) return WPP.chat.find(lid); // somebody whose phone is hidden cannot be asked for by it
  const found = await exists(user(pn));
  if (!found) throw new Refusal('not_on_whatsapp');
  return WPP.chat.find(found.wid);
}

async function groupWithMe(id) {
  const chat = WPP.chat.get(id);
  const group = chat && await WPP.whatsapp.GroupMetadataStore.find(chat.id);
  if (!group || !group.participants.iAmMember()) throw new Refusal('not_in_group');
  return { chat, group };
}

async function writableGroup(id) {
  const { chat, group } = await groupWithMe(id);
  if (group.announce && !group.participants.iAmAdmin()) throw new Refusal('group_read_only');
  return chat;
}

const changed = new Set(); // groups to tell of: one change comes as several
function groupChanged(id) {
  if (state() !== 'connected') return; // that is what it had stored
  if (!changed.size) setTimeout(() => { for (const one of changed) emit('group', one); changed.clear(); }, 50);
  changed.add(text(id));
}
function watchGroups() {
  WPP.on('group.participant_changed', (change) => groupChanged(change.groupId));
  for (const what of ['add', 'change:announce', 'change:subject', 'change:desc'])
    WPP.whatsapp.GroupMetadataStore.on(what, (group) => groupChanged(group.id));
}

// -------------------------------------------------------------------------------- typing
const typers = new Map(); // chat -> timer that ends it
function stopTyping(chatId) {
  if (!typers.has(chatId)) return;
  clearTimeout(typers.get(chatId));
  typers.delete(chatId);
  WPP.chat.markIsPaused(chatId).catch(() => null);
}

Object.assign(ops, {
  async numberExists({ phone }) {
    ready();
    const found = await exists(phone);
    return found && { chat: text(found.wid), lid: text(found.lid), business: found.business };
  },
  async prepare({ to }) {
    ready();
    const chat = isGroup(to) ? await writableGroup(to) : await personChat(to);
    if (busy.has(text(chat.id))) throw new Refusal('chat_busy');
    return { chat: text(chat.id), id: text(await WPP.chat.generateMessageID(chat)) };
  },
  async groups() {
    ready();
    const mine = new Set((await WPP.whatsapp.functions.queryAllGroups()).map((g) => text(g.id)));
    for (const id of mine) if (!WPP.chat.get(id)) await WPP.chat.find(id);
    const out = [];
    for (const chat of await WPP.chat.list({ onlyGroups: true, ignoreGroupMetadata: true })) {
      const group = await WPP.whatsapp.GroupMetadataStore.find(chat.id);
      if (!group || group.isParentGroup) continue; // nobody writes into a community itself
      const people = group.participants;
      out.push({
        chat: text(chat.id), subject: text(group.subject || chat.name), description: text(group.desc),
        size: people.length, admin: !!people.iAmAdmin(), announceOnly: !!group.announce,
        member: mine.has(text(chat.id)) && !!people.iAmMember(),
      });
    }
    return out;
  },
  async members({ chat: id }) {
    ready();
    const { group } = await groupWithMe(id);
    return group.participants.getModelsArray().map((p) => ({
      lid: text(lidOf(p.id)), phone: phoneOf(p.id), admin: !!(p.isAdmin || p.isSuperAdmin),
      name: isMe(p.id) ? text(WPP.whatsapp.Conn.pushname) : nameOf(p.id) || nameOf(pnOf(p.id)),
    }));
  },
  async typing({ chat, ms }) {
    ready();
    stopTyping(chat);
    if (!(ms > 0) || !WPP.chat.get(chat)) return null;
    typers.set(chat, setTimeout(() => stopTyping(chat), ms));
    await WPP.chat.markIsComposing(chat);
    return null;
  },
  async pairingCode({ phone }) {
    if (!WPP.isFullReady) await new Promise((ok) => WPP.on('loader.full_ready', ok));
    if (WPP.conn.isAuthenticated()) throw new Refusal('already_linked');
    return WPP.conn.genLinkDeviceCodeForPhoneNumber(phone.replace(/\D/g, ''));
  },
});
