'use strict';
/**
 * From a call of a client to a message on the server.
 *
 * sendTextMessage, sendLocationMessage, sendFileMessage (wa-js) and sendMessage
 * (whatsapp-web.js) all end in `addAndSendMsgToChat`. The message is stored with ack 0 *before*
 * it is sent, so a page that crashed in between finds it again. Failures resolve: the result says
 * ERROR_NETWORK when the socket was lost, ERROR_UNKNOWN for a nack, which also sets ack -1.
 */
(({ module, values }) => {
  module('WAWebChatGetExistingBridge', (exports, ns) => {
    exports.getExisting = async (wid) => ns('WAWebChatCollection').ChatCollection.get(wid) || null;
  });

  module('WAWebCreateChatRecord', (exports, ns) => {
    exports.createChatRecord = async (id) => {
      const chat = ns('WAWebChatCollection').ChatCollection.gadd({
        id, createdLocally: true, unreadCount: 0,
      });
      await ns('SimMessageTable').saveChat(chat);
    };
  });

  module('WAWebFindChatAction', (exports, ns) => {
    const migrated = () => ns('WAWebLid1X1MigrationGating').Lid1X1MigrationUtils.isLidMigrated();

    /** The id under which this account talks to `wid`: its LID once the account is migrated. */
    const chatIdOf = async (wid) => {
      if (!wid.isRegularUser()) return wid;
      if (migrated()) {
        const { toUserLid, toUserLidOrThrow } = ns('WAWebLidMigrationUtils');
        if (!toUserLid(wid)) await ns('WAWebQueryExistsJob').queryWidExists(wid);
        return toUserLidOrThrow(wid);
      }
      if (wid.isLid() && !ns('WAWebChatCollection').ChatCollection.get(wid)) {
        return ns('WAWebApiContact').getPhoneNumber(wid) || wid;
      }
      return wid;
    };

    /** `{ chat, created }`. */
    exports.findOrCreateLatestChat = async (wid) => {
      const id = await chatIdOf(wid);
      const known = await ns('WAWebChatGetExistingBridge').getExisting(id);
      if (known) return { chat: known, created: false };
      if (id.isGroup()) await ns('WAWebGroupMetadataCollection').default.find(id);
      await ns('WAWebCreateChatRecord').createChatRecord(id, {
        id: id.toString(), createdLocally: true,
      });
      return { chat: ns('WAWebChatCollection').ChatCollection.get(id), created: true };
    };
    exports.findExistingChat = async (wid) => (await exports.findOrCreateLatestChat(wid)).chat;
  });

  module('WAWebE2EProtoGenerator', (exports) => {
    /** The protobuf of a message; wa-js wraps this to put in what it adds. */
    exports.createMsgProtobuf = (msg) => {
      const contextInfo = msg.quotedStanzaID
        ? { stanzaId: msg.quotedStanzaID, participant: String(msg.quotedParticipant) }
        : undefined;
      if (msg.type === 'chat') {
        return {
          extendedTextMessage: {
            text: msg.body, title: msg.title, description: msg.description, contextInfo,
          },
        };
      }
      return {
        [`${msg.type}Message`]: {
          caption: msg.caption,
          mimetype: msg.mimetype,
          degreesLatitude: msg.lat,
          degreesLongitude: msg.lng,
          name: msg.loc,
          contextInfo,
        },
      };
    };
  });

  module('WAWebSendMsgJob', (exports, ns) => {
    /** Resolves to `{ t }` or `{ error }`; rejects with `status` 408 when the socket is lost. */
    exports.encryptAndSendMsg = ({ data }) => ns('SimComms').call('message', {
      id: data.id.id,
      key: data.id.toString(),
      to: data.to.toString(),
      type: data.type,
      msg: ns('SimMessageTable').row(data),
      proto: ns('WAWebE2EProtoGenerator').createMsgProtobuf(data),
    });
    exports.encryptMsgProtobuf = async () => ({ type: 'msg', ciphertext: new Uint8Array() });
  });

  module('WAWebSendMsgRecordAction', (exports, ns) => {
    exports.sendMsgRecord = async (msg) => {
      const { ACK } = ns('WAWebAck');
      const { SendMsgResult } = ns('WAWebSendMsgResultAction');
      try {
        const answer = await ns('WAWebSendMsgJob').encryptAndSendMsg(
          { type: 'message', data: msg }, null);
        if (answer.error) {
          msg.set({ ack: ACK.FAILED, isSendFailure: true });
          await ns('SimMessageTable').save(msg);
          return { messageSendResult: SendMsgResult.ERROR_UNKNOWN };
        }
        const toMyself = ns('WAWebUserPrefsMeUser').isMePrimary(msg.id.remote);
        msg.updateAck(toMyself ? ACK.READ : ACK.SENT);
        const chat = ns('WAWebChatCollection').ChatCollection.get(msg.id.remote);
        if (chat) {
          chat.lastReceivedKey = msg.id;
          ns('SimMessageTable').saveChat(chat);
        }
        return { messageSendResult: SendMsgResult.OK, t: answer.t, count: null };
      } catch (error) {
        msg.set({ isSendFailure: true });
        const lost = error.status === 408;
        return { messageSendResult: lost ? SendMsgResult.ERROR_NETWORK : SendMsgResult.ERROR_UNKNOWN };
      }
    };
  });

  module('WAWebSendMsgChatAction', (exports, ns) => {
    /**
     * `data` is a raw message or a promise of one; `beforeSend(msg)` may still change it.
     * Returns `[Promise<Msg in the chat>, Promise<{messageSendResult, t, count}>]`.
     */
    exports.addAndSendMsgToChat = (chat, data, beforeSend) => {
      const stored = Promise.resolve(data).then(async (raw) => {
        if (!chat.id.equals(raw.id.remote)) {
          console.warn('inconsistent msg id', chat.id.toString(), raw.id.toString());
        }
        const { Msg } = ns('WAWebMsgModel');
        const msg = ns('WAWebMsgCollection').MsgCollection.add(new Msg(raw))[0];
        if (!msg) throw new Error('ModelCreateError Msg');
        if (chat.id.isGroup()) msg.memberReceipts = ns('SimMemberReceipts').expected(chat.id);
        await ns('SimMessageTable').save(msg);
        return msg;
      });
      const added = chat.addQueue.enqueue(stored).then((msg) => {
        const [inChat] = chat.msgs.add(msg);
        chat.set({ t: msg.t });
        ns('SimMessageTable').saveChat(chat);
        return inChat;
      });
      const ready = beforeSend ? added.then(beforeSend).then(() => added) : added;
      const sent = chat.sendQueue.enqueue(ready)
        .then((msg) => ns('WAWebSendMsgRecordAction').sendMsgRecord(msg));
      return [added, sent];
    };
    exports.resendMsgToChat = (chat, msg) => chat.sendQueue.enqueue(msg)
      .then((same) => ns('WAWebSendMsgRecordAction').sendMsgRecord(same));
  });

  module('WAWebSendTextMsgChatAction', (exports, ns) => {
    exports.sendTextMsgToChat = async (chat, text) => {
      const me = ns('WAWebUserPrefsMeUser');
      const MsgKey = ns('WAWebMsgKey').default;
      const group = chat.id.isGroup();
      const from = group || chat.id.isLid() ? me.getMaybeMeLidUser() : me.getMaybeMePnUser();
      const id = new MsgKey({
        from, to: chat.id, id: await MsgKey.newId(), selfDir: 'out',
        participant: group ? from : undefined,
      });
      return ns('WAWebSendMsgChatAction').addAndSendMsgToChat(chat, {
        id, body: text, type: 'chat', from, to: chat.id, self: 'out',
        t: ns('WATimeUtils').unixTime(), ack: 0, isNewMsg: true, local: true,
      })[1];
    };
  });

  module('WAWebChatSearchContext', (exports, ns) => {
    /** Loads one message from the database around which a chat can be shown; getMessageById. */
    exports.getSearchContext = ({ chat, msgKey }) => { // wa-js looks at the number of parameters
      const { ChatMsgsCollection } = ns('WAWebChatMsgsCollection');
      const collection = new ChatMsgsCollection(null, { parent: chat });
      collection.loadAroundPromise = ns('SimMessageTable').load(msgKey).then((msg) => {
        if (msg) collection.add(ns('WAWebMsgCollection').MsgCollection.add(msg)[0]);
      });
      return { collection, key: msgKey, highlightMsg: true };
    };
  });

  module('WAWebDBMessageFindLocal', (exports, ns) => {
    /** `{anchor: MsgKey, count, direction}` -> `{messages: raw, status}`; getMessages. */
    exports.msgFindByDirection = async ({ anchor, count, direction }) => {
      const rows = await ns('SimMessageTable').rowsOf(anchor.remote);
      const at = rows.findIndex((row) => row.id === anchor.toString());
      if (at < 0) return { messages: [], status: 404 };
      const all = count === Infinity;
      const part = direction === 'before'
        ? rows.slice(all ? 0 : Math.max(0, at - count), at)
        : rows.slice(at + 1, all ? undefined : at + 1 + count);
      return { messages: part.map(ns('SimMessageTable').raw), status: 200 };
    };
    exports.msgFindBefore = (query) => (
      exports.msgFindByDirection({ ...query, direction: 'before' }));
    exports.msgFindAfter = (query) => exports.msgFindByDirection({ ...query, direction: 'after' });
  });

  module('SimPendingSends', (exports, ns) => {
    /** Sends again, with the same ids, what a former page stored and never saw acknowledged. */
    exports.resend = async () => {
      for (const row of await ns('SimStore').all('message')) {
        if (row.ack !== 0 || !row.id.startsWith('true_') || row.isSendFailure) continue;
        const raw = ns('SimMessageTable').raw(row);
        const { chat } = await ns('WAWebFindChatAction').findOrCreateLatestChat(raw.id.remote);
        const { Msg } = ns('WAWebMsgModel');
        const msg = ns('WAWebMsgCollection').MsgCollection.add(new Msg(raw))[0];
        ns('WAWebSendMsgChatAction').resendMsgToChat(chat, msg);
      }
    };
  });

  values('WAWebGetEphemeralFieldsMsgActionsUtils', { getEphemeralFields: () => ({}) });
})(self.Simulator);
