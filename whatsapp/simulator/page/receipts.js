'use strict';
/**
 * Receipts: wa-js wraps these handlers for `chat.msg_ack_change` above 1. The receiver of a group
 * message is in `participant`; the key of the message carries our own LID instead.
 */
(({ module, values }) => {
  const handler = (name, group) => (exports, ns) => {
    exports[name] = async ({ from, externalIds, ack }) => {
      const MsgKey = ns('WAWebMsgKey').default;
      const participant = group ? ns('WAWebUserPrefsMeUser').getMaybeMeLidUser() : undefined;
      for (const id of externalIds) {
        const key = new MsgKey({ id, remote: from, fromMe: true, participant });
        const msg = ns('WAWebMsgCollection').MsgCollection.get(key)
          || (await ns('SimMessageTable').load(key));
        if (msg) msg.updateAck(ack);
      }
    };
  };
  module('WAWebHandleDirectChatReceipt', handler('handleChatSimpleReceipt', false));
  module('WAWebHandleGroupChatReceipt', handler('handleGroupSimpleReceipt', true));
  module('WAWebHandleStatusChatReceipt', handler('handleStatusSimpleReceipt', false));
  values('WAWebHandleSingleMsg', { handleSingleMsg: async () => null });
})(self.Simulator);
