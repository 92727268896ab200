'use strict';
/**
 * Receipts: wa-js wraps these handlers for `chat.msg_ack_change` above 1.
 *
 * In a group each member sends receipts of their own; who it was is in `participant`, while the key
 * of the message carries our own LID. The message itself is delivered, or read, once it is so for
 * all the others. getMessageACK (wa-js) and getInfo (whatsapp-web.js) tell who has come how far.
 */
(({ module, values }) => {
  const STEPS = [2, 3, 4]; // delivered, read, played

  module('SimMemberReceipts', (exports, ns) => {
    /** Those whom a message to the group is for: who comes later does not count. */
    exports.expected = (chat) => Object.fromEntries(
      (ns('WAWebGroupMetadataCollection').default.get(chat)?.participants.others() || [])
        .map((member) => [member.id.toString(), {}]));

    /** A member of the group has come to `ack`. */
    exports.note = async (msg, participant, ack, t) => {
      const all = { ...msg.memberReceipts };
      const one = { ...all[participant.toString()] };
      for (const step of STEPS) if (step <= ack && !one[step]) one[step] = t;
      all[participant.toString()] = one;
      msg.memberReceipts = all;
      await ns('SimMessageTable').save(msg);
      const common = STEPS.filter((step) => Object.values(all).every((times) => times[step]));
      if (common.length) msg.updateAck(Math.max(...common));
    };

    /** Who has come how far: `{ delivery, read, played, ...Remaining }` for the message `key`. */
    exports.info = async (key) => {
      const msg = ns('WAWebMsgCollection').MsgCollection.get(key)
        || (await ns('SimMessageTable').load(key));
      const { createWid } = ns('WAWebWidFactory');
      const times = Object.entries(msg?.memberReceipts || {});
      const [delivery, read, played] = STEPS.map((step) => times
        .filter(([, one]) => one[step])
        .map(([id, one]) => ({ id: createWid(id), t: one[step] })));
      const all = times.length;
      return {
        id: key, delivery, read, played,
        deliveryRemaining: all - delivery.length,
        readRemaining: all - read.length,
        playedRemaining: all - played.length,
      };
    };
  });

  const stored = async (ns, id, remote, participant) => {
    const key = new (ns('WAWebMsgKey').default)({ id, remote, fromMe: true, participant });
    return ns('WAWebMsgCollection').MsgCollection.get(key) || ns('SimMessageTable').load(key);
  };
  const simple = (name) => (exports, ns) => {
    exports[name] = async ({ from, externalIds, ack }) => {
      for (const id of externalIds) (await stored(ns, id, from))?.updateAck(ack);
    };
  };
  module('WAWebHandleDirectChatReceipt', simple('handleChatSimpleReceipt'));
  module('WAWebHandleStatusChatReceipt', simple('handleStatusSimpleReceipt'));
  module('WAWebHandleGroupChatReceipt', (exports, ns) => {
    exports.handleGroupSimpleReceipt = async ({ from, externalIds, ack, participant, ts }) => {
      for (const id of externalIds) {
        const own = ns('WAWebUserPrefsMeUser').getMaybeMeLidUser();
        const msg = await stored(ns, id, from, own);
        if (msg && participant) await ns('SimMemberReceipts').note(msg, participant, ack, ts);
      }
    };
  });
  module('WAWebApiMessageInfoStore', (exports, ns) => {
    exports.queryMsgInfo = (key) => ns('SimMemberReceipts').info(key);
  });
  values('WAWebHandleSingleMsg', { handleSingleMsg: async () => null });
})(self.Simulator);
