'use strict';
/**
 * Messages and chats, and how they are written to the local database.
 *
 * Both clients listen to 'add' and 'change:ack' of messages; wa-js finds models by `proxyName`.
 */
(({ module }) => {
  module('WAWebMsgModel', (exports, ns) => {
    const { BaseModel, defineModel } = ns('WAWebBaseModel');
    // Live objects that belong to a message in memory but are no part of its data.
    const QUOTE = ['quotedMsg', 'quotedStanzaID', 'quotedParticipant'];
    const LIVE = ['mediaData', 'mediaObject', 'mediaBlob', 'mediaPrep'];

    class Msg extends BaseModel {
      /** Acks only rise. */
      updateAck(ack) {
        if (ack <= (this.ack ?? -9)) return;
        this.ack = ack;
        ns('SimMessageTable').save(this);
      }
      /** What a client downloads, of a message that points to a file. */
      initialize() {
        if (!this.directPath || this.mediaData) return;
        const { type, mimetype, size, filehash, mediaBlob } = this;
        this.mediaData = new (ns('WAWebMediaData').MediaData)({
          type, mimetype, size, filehash, mediaBlob, mediaStage: mediaBlob ? 'RESOLVED' : 'NEED_POKE',
        });
      }
      downloadMedia() { return ns('SimMediaDownload').download(this); }
      waitForPrep() { return Promise.resolve(this); }
      msgContextInfo() {
        const quotedMsg = this.serialize();
        for (const name of QUOTE) delete quotedMsg[name]; // an answer to an answer shows the last
        return {
          quotedMsg,
          quotedParticipant: this.author || this.from,
          quotedStanzaID: this.id.id,
        };
      }
      unsafe() { return this; }
      serialize() {
        const plain = super.serialize();
        for (const name of LIVE) delete plain[name];
        return plain;
      }
    }
    Msg.Proxy = 'msg';
    Msg.defaults = {
      id: undefined, body: undefined, type: undefined, subtype: undefined, t: undefined,
      from: undefined, to: undefined, author: undefined, self: undefined, ack: undefined,
      isNewMsg: undefined, mediaData: undefined, mediaObject: undefined,
      latestEditMsgKey: undefined, caption: undefined, filename: undefined, mimetype: undefined,
      lat: undefined, lng: undefined, loc: undefined, quotedStanzaID: undefined,
      quotedParticipant: undefined, quotedMsg: undefined, directPath: undefined,
      memberReceipts: undefined, star: false,
    };
    exports.LIVE = LIVE;
    exports.Msg = defineModel(Msg);
    exports.default = exports.Msg;
  });

  module('WAWebChatModel', (exports, ns) => {
    const { BaseModel, defineModel } = ns('WAWebBaseModel');

    /** Runs what is put in one after the other; a failure does not stop the next. */
    class Queue {
      constructor() { this.last = Promise.resolve(); }
      enqueue(value) {
        const next = this.last.then(() => value);
        this.last = next.catch(() => null);
        return next;
      }
    }

    class Chat extends BaseModel {
      initialize() {
        const own = (name, value) => Object.defineProperty(
          this, name, { value, writable: true, configurable: true });
        const { ChatMsgsCollection } = ns('WAWebChatMsgsCollection');
        own('msgs', new ChatMsgsCollection(null, { parent: this }));
        own('addQueue', new Queue());
        own('sendQueue', new Queue());
        own('presence', {
          id: this.id, subscribe: async () => null, hasData: false, chatstate: {},
        });
      }
      get contact() {
        const contacts = ns('WAWebContactCollection').ContactCollection;
        return contacts.get(this.id) || contacts.gadd(this.id);
      }
      get groupMetadata() {
        return this.id.isGroup() ? ns('WAWebGroupMetadataCollection').default.get(this.id) : undefined;
      }
      get isReadOnly() {
        return Boolean(this.groupMetadata) && !this.groupMetadata.participants.iAmMember();
      }
      get isAnnounceGrpRestrict() {
        const group = this.groupMetadata;
        return Boolean(group?.announce) && !group.participants.iAmAdmin();
      }
      get canSend() { return !this.isReadOnly && !this.isAnnounceGrpRestrict; }
      get formattedTitle() { return ns('SimNames').chatTitle(this); }
      isTrusted() { return true; }
      getAllMsgs() { return this.msgs.getModelsArray(); }
      /** whatsapp-web.js only wants to know whether there are messages. */
      serialize() { return { ...super.serialize(), msgs: this.msgs.slice(-1).map((m) => m.id) }; }
    }
    Chat.Proxy = 'chat';
    Chat.defaults = {
      name: undefined, unreadCount: 0, t: undefined, lastReceivedKey: undefined, active: false,
      archive: false, createdLocally: false, accountLid: undefined,
      isParentGroup: false,
    };
    exports.Chat = defineModel(Chat);
    exports.default = exports.Chat;
  });

  module('WAWebChatMsgsCollection', (exports, ns) => {
    class ChatMsgsCollection extends ns('WAWebBaseCollection').BaseCollection {
      constructor(models, options) {
        super(models, options);
        this.msgLoadState = { noEarlierMsgs: true, isLoadingEarlierMsgs: false };
      }
    }
    ChatMsgsCollection.model = ns('WAWebMsgModel').Msg;
    exports.ChatMsgsCollection = ChatMsgsCollection;
  });

  module('SimMessageTable', (exports, ns) => {
    const WIDS = ['from', 'to', 'author', 'quotedParticipant'];
    const { LIVE } = ns('WAWebMsgModel');
    // Orders messages of the same second; larger than any number a former page gave out.
    let sequence = Date.now();
    const positions = new WeakMap();

    /** The row of a message: plain data, ids as text, `chat` for the index. */
    exports.row = (msg) => {
      const row = {};
      for (const [name, value] of Object.entries(msg.attributes)) {
        if (value === undefined || typeof value === 'function' || LIVE.includes(name)) continue;
        row[name] = WIDS.includes(name) && value ? value.toString() : value;
      }
      if (!positions.has(msg)) positions.set(msg, msg.storedSequence || (sequence += 1));
      row.id = msg.id.toString();
      row.chat = msg.id.remote.toString();
      row.seq = positions.get(msg);
      delete row.storedSequence;
      return JSON.parse(JSON.stringify(row));
    };

    /** Raw message data from a row, ready for `new Msg`. */
    exports.raw = (row) => {
      const raw = { ...row, storedSequence: row.seq, isNewMsg: false };
      delete raw.seq;
      delete raw.chat;
      raw.id = ns('WAWebMsgKey').default.fromString(row.id);
      for (const name of WIDS) {
        if (raw[name]) raw[name] = ns('WAWebWidFactory').createWid(raw[name]);
      }
      return raw;
    };

    /** Orders messages in memory as `rowsOf` does those of the database. */
    exports.compare = (one, other) => one.t - other.t
      || (positions.get(one) || one.storedSequence) - (positions.get(other) || other.storedSequence);

    exports.save = (msg) => ns('SimStore').put('message', exports.row(msg));

    /** The stored message with this key, or null. */
    exports.load = async (key) => {
      const row = await ns('SimStore').get('message', key.toString());
      return row ? new (ns('WAWebMsgModel').Msg)(exports.raw(row)) : null;
    };

    /** All rows of a chat, oldest first. */
    exports.rowsOf = async (chat) => {
      const rows = await ns('SimStore').messagesOf(chat.toString());
      return rows.sort((one, other) => one.t - other.t || one.seq - other.seq);
    };

    exports.saveChat = (chat) => ns('SimStore').put('chat', {
      id: chat.id.toString(),
      name: chat.name,
      t: chat.t,
      unreadCount: chat.unreadCount,
      lastReceivedKey: chat.lastReceivedKey && chat.lastReceivedKey.toString(),
      accountLid: chat.accountLid && chat.accountLid.toString(),
    });
  });
})(self.Simulator);
