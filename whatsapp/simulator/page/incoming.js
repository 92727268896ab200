'use strict';
/**
 * What the server brings: messages of others, and those that our own phone sent (`fromMe`).
 * From here on it is wa-js's `chat.new_message` and whatsapp-web.js's `message`.
 */
(({ module }) => {
  module('SimIncoming', (exports, ns) => {
    const wid = (id) => ns('WAWebWidFactory').createWid(id);

    /** The address book and what people call themselves, as the database has it: in memory. */
    exports.remember = ({ pn, lid, name, pushname }) => {
      if (pn && lid) ns('WAWebLidPnCache').lidPnCache.add(wid(lid), { phoneNumber: wid(pn) });
      if (!name && !pushname) return;
      ns('WAWebContactCollection').ContactCollection.add(
        { id: wid(pn || lid), ...(name && { name }), ...(pushname && { pushname }) },
        { merge: true });
    };

    const isKnown = ({ pn, lid, name, pushname }) => {
      const contact = ns('WAWebContactCollection').ContactCollection.get(wid(pn || lid));
      return (!name || contact?.name === name)
        && (!pushname || contact?.pushname === pushname)
        && (!pn || !lid || ns('WAWebLidPnCache').lidPnCache.getCurrentLid(wid(pn))?.toString() === lid);
    };

    /** The same, said by the server: in the database, too. */
    exports.learn = async (said) => {
      if (isKnown(said)) return;
      const known = Object.fromEntries(Object.entries(said).filter(([, value]) => value));
      const id = said.pn || said.lid;
      await ns('SimStore').put('contact', { ...(await ns('SimStore').get('contact', id)), ...known, id });
      exports.remember(known);
    };

    exports.receive = async ({ msg }) => {
      const me = ns('WAWebUserPrefsMeUser');
      const {
        id, from, fromMe, author, pn, lid, quotedParticipant, notifyName, ...fields
      } = msg;
      const chat = wid(from);
      const byLid = chat.isGroup() || chat.isLid();
      const own = byLid ? me.getMaybeMeLidUser() : me.getMaybeMePnUser();
      const writer = author ? wid(author) : undefined;
      if (!fromMe) await exports.learn({ pn, lid, pushname: notifyName });
      for (const name of Object.keys(fields)) if (fields[name] === null) delete fields[name];
      await ns('WAWebMsgCollection').MsgCollection.processMultipleMessages(chat, [{
        ...fields,
        ...(quotedParticipant ? { quotedParticipant: wid(quotedParticipant) } : {}),
        id: new (ns('WAWebMsgKey').default)({
          fromMe, remote: chat, id, participant: chat.isGroup() ? writer : undefined,
        }),
        notifyName,
        from: fromMe ? own : chat,
        to: fromMe ? chat : own,
        author: fromMe ? undefined : writer,
        self: fromMe ? 'out' : 'in',
        isNewMsg: true,
        ack: 1,
      }]);
    };
  });

  module('WAWebQuotedMsgModelUtils', (exports, ns) => {
    /** The message that `msg` answers: the one we know, or what the answer says of it. */
    exports.getQuotedMsgObj = (msg) => {
      if (!msg.quotedStanzaID || !msg.quotedMsg) return null;
      const author = msg.quotedParticipant;
      const { remote } = msg.id;
      const key = new (ns('WAWebMsgKey').default)({
        fromMe: ns('WAWebUserPrefsMeUser').isMeAccount(author),
        remote,
        id: msg.quotedStanzaID,
        participant: remote.isGroup() ? author : undefined,
      });
      return ns('WAWebMsgCollection').MsgCollection.get(key)
        || new (ns('WAWebMsgModel').Msg)({ ...msg.quotedMsg, id: key, from: author });
    };
  });
})(self.Simulator);
