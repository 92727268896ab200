'use strict';
/**
 * The stores. wa-js binds them by name (`ChatCollection`, `MsgCollection`, ...); whatsapp-web.js
 * takes them from the barrel WAWebCollections.
 */
(({ module }) => {
  /**
   * Define module `id` that exports an instance `name`. `model(ns)` gives the model class,
   * `extra(ns)` methods. Only where `withClass` is set is the class exported too: of the others
   * wa-js would take the class for the store.
   */
  const collection = (id, name, { model, extra, withClass } = {}) => module(id, (exports, ns) => {
    const { BaseCollection } = ns('WAWebBaseCollection');
    class Store extends BaseCollection {}
    Store.model = model ? model(ns) : class extends ns('WAWebBaseModel').BaseModel {};
    Object.assign(Store.prototype, extra ? extra(ns) : {});
    if (withClass) exports[`${name}Impl`] = Store;
    exports[name] = new Store();
  });

  collection('WAWebContactCollection', 'ContactCollection', {
    withClass: true,
    model: (ns) => ns('WAWebContactModel').Contact,
    extra: (ns) => ({
      findImpl: async (id) => ({ id: ns('WAWebWidFactory').createWidFromWidLike(id) }),
    }),
  });

  collection('WAWebChatCollection', 'ChatCollection', {
    withClass: true, model: (ns) => ns('WAWebChatModel').Chat,
  });

  /** How many are unread once `msg` has come: whoever wrote on their phone has read what is there. */
  const unreadWith = (chat, msg) => {
    if (msg.id.fromMe) return 0;
    const { getIsUnreadType } = importNamespace('WAWebMsgGetters');
    return chat.unreadCount + (getIsUnreadType(msg) ? 1 : 0);
  };

  collection('WAWebMsgCollection', 'MsgCollection', {
    withClass: true,
    model: (ns) => ns('WAWebMsgModel').Msg,
    extra: (ns) => ({
      async getMessagesById(ids) {
        const found = await Promise.all(ids.map((id) => ns('SimMessageTable').load(id)));
        return { messages: found.filter(Boolean) };
      },
      /** What arrives comes in here; wa-js wraps it to see revoked messages. */
      async processMultipleMessages(chatId, raws) {
        const { MsgCollection } = ns('WAWebMsgCollection');
        const { chat } = await ns('WAWebFindChatAction').findOrCreateLatestChat(chatId, 'inbound');
        const added = [];
        for (const raw of raws) {
          if (MsgCollection.get(raw.id)) continue;
          const stored = await ns('SimMessageTable').load(raw.id);
          // The page may have ended between the two rows: then its chat does not know of it yet.
          if (stored && chat.t >= raw.t) continue;
          const msg = new (ns('WAWebMsgModel').Msg)(raw);
          if (!stored) await ns('SimMessageTable').save(msg);
          MsgCollection.add(msg);
          chat.msgs.add(msg);
          chat.set({ t: msg.t, lastReceivedKey: msg.id, unreadCount: unreadWith(chat, msg) });
          added.push(msg);
        }
        await ns('SimMessageTable').saveChat(chat);
        return added;
      },
    }),
  });

  collection('WAWebMsgInfoCollection', 'MsgInfoCollection', {
    extra: (ns) => ({
      find(id) { return this.update(id); }, // it changes with every receipt
      findImpl: (id) => ns('SimMemberReceipts').info(id),
    }),
  });
  collection('WAWebStatusCollection', 'StatusCollection', {
    extra: () => ({ getMyStatus() { return { msgs: this }; } }),
  });
  collection('WAWebProfilePicThumbCollection', 'ProfilePicThumbCollection', {
    extra: () => ({ findImpl: async (id) => ({ id, eurl: null }) }),
  });
  collection('WAWebBlocklistCollection', 'BlocklistCollection');
  collection('WAWebPresenceCollection', 'PresenceCollection');
  collection('WAWebLabelCollection', 'LabelCollection');
  collection('WAWebReactionsCollection', 'ReactionsCollection');
  collection('WAWebBotProfileCollection', 'BotProfileCollection');
  collection('WAWebQuickReplyCollection', 'QuickReplyCollection');

  module('WAWebNewsletterCollection', (exports, ns) => {
    class NewsletterCollectionImpl extends ns('WAWebBaseCollection').BaseCollection {}
    NewsletterCollectionImpl.model = ns('WAWebChatModel').Chat;
    exports.NewsletterCollectionImpl = NewsletterCollectionImpl;
    exports.default = new NewsletterCollectionImpl();
  });

  module('WAWebCallCollection', (exports, ns) => {
    class CallCollectionImpl extends ns('WAWebBaseCollection').BaseCollection {
      callMap = new Map();
      processIncomingCall(call) { return this.gadd(call); }
      setActiveCall(call) { this.activeCall = call; }
    }
    CallCollectionImpl.model = class extends ns('WAWebBaseModel').BaseModel {};
    exports.CallCollectionImpl = CallCollectionImpl;
    exports.default = new CallCollectionImpl();
  });

  module('WAWebCollections', (exports, ns) => {
    Object.assign(exports, {
      Chat: ns('WAWebChatCollection').ChatCollection,
      Msg: ns('WAWebMsgCollection').MsgCollection,
      Contact: ns('WAWebContactCollection').ContactCollection,
      GroupMetadata: ns('WAWebGroupMetadataCollection').default,
      Call: ns('WAWebCallCollection').default,
      Status: ns('WAWebStatusCollection').StatusCollection,
      Label: ns('WAWebLabelCollection').LabelCollection,
      Blocklist: ns('WAWebBlocklistCollection').BlocklistCollection,
      ProfilePicThumb: ns('WAWebProfilePicThumbCollection').ProfilePicThumbCollection,
      Presence: ns('WAWebPresenceCollection').PresenceCollection,
      QuickReply: ns('WAWebQuickReplyCollection').QuickReplyCollection,
      WAWebNewsletterCollection: ns('WAWebNewsletterCollection').default,
      MsgInfo: ns('WAWebMsgInfoCollection').MsgInfoCollection,
      Reactions: ns('WAWebReactionsCollection').ReactionsCollection,
      BusinessProfile: { find: async () => ({}), fetchBizProfile: async () => null },
      PollVote: { on() {} },
    });
  });
})(self.Simulator);
