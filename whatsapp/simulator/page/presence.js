'use strict';
/** What we let others see of us: typing (both clients), and that we have read (sendSeen). */
(({ module, values }) => {
  values('WAWebPresenceChatAction', {
    sendPresenceAvailable: async () => null, sendPresenceUnavailable: async () => null,
  });

  module('WAWebChatStateBridge', (exports, ns) => {
    const tell = (wid, state) => ns('SimComms')
      .call('chatstate', { chat: wid.toString(), state }).catch(() => null);
    // wa-js gives a chat, whatsapp-web.js an id.
    exports.markComposing = (chat) => tell(chat.id, 'composing');
    exports.markRecording = (chat) => tell(chat.id, 'recording');
    exports.markPaused = (chat) => tell(chat.id, 'paused');
    exports.sendChatStateComposing = (wid) => tell(wid, 'composing');
    exports.sendChatStateRecording = (wid) => tell(wid, 'recording');
    exports.sendChatStatePaused = (wid) => tell(wid, 'paused');
  });

  module('WAWebUpdateUnreadChatAction', (exports, ns) => {
    exports.sendSeen = async ({ chat }) => {
      if (!chat.unreadCount) return;
      chat.unreadCount = 0;
      ns('SimMessageTable').saveChat(chat);
      await ns('SimComms').call('seen', { chat: chat.id.toString() }).catch(() => null);
    };
    exports.markUnread = async () => null;
  });
})(self.Simulator);
