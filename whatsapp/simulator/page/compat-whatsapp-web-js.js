'use strict';
/**
 * What whatsapp-web.js 1.34.7 requires by name, beyond what wa-js needs: at login, when it
 * attaches its listeners, and when it sends. It wants the setting `msg_key: "plain"`.
 */
(({ values, inert }) => {
  values('WAWebOfflineHandler', {
    OfflineMessageHandler: { getOfflineDeliveryProgress: () => 100 },
  });
  values('WAWebSyncGatingUtils', { isPlaceholderMessageResendEnabled: () => false });
  values('WAWebNonMessageDataRequestPlaceholderMessageResendUtils', inert(
    'handlePlaceholderMsgsSeen'));
  values('WAWebAddonReactionTableMode', { reactionTableMode: { bulkUpsert: async () => null } });
  values('WAWebAddonPollVoteTableMode', { pollVoteTableMode: { bulkUpsert: async () => null } });
  values('WAPhoneFindCC', { extractDigits: (text) => text.replace(/\D/g, '') });
  values('WAWebMsgReply', { canReplyMsg: () => true });
  values('WAWebStatusGatingUtils', { canCheckStatusRankingPosterGating: () => false });
  values('WAWebUserPrefsGeneral', inert('getAutoDownloadPhotos'));
})(self.Simulator);
