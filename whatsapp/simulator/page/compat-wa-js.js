'use strict';
/**
 * What wa-js 4.6.0 looks for, wraps or probes when it starts and that no call of ours needs:
 * without these its loader reports missing modules, or a wrapped function is undefined.
 */
(({ module, values, inert }) => {
  values('WAWebBackendJobsCommon', {
    ...inert('mediaTypeFromProtobuf', 'encodeMaybeMediaType'),
    typeAttributeFromProtobuf: () => 'text',
  });
  values('WAWebMsgGetters', {
    getIsUnreadType: (msg) => !['gp2', 'protocol', 'e2e_notification'].includes(msg.type),
    getIsGroupMsg: (msg) => msg.id.remote.isGroup(),
  });
  values('WAWebChatGetters', {
    getShouldAppearInList: () => true,
    getPreviewMessage: () => null,
    getShowChangeNumberNotification: () => false,
    getShouldShowUnreadDivider: () => false,
    getIsNewsletter: () => false,
    getIsBroadcast: (chat) => chat.id.isBroadcast(),
  });
  values('WAWebUnreadChatGetters', { getHasUnread: (chat) => chat.unreadCount > 0 });
  values('WAWebABProps', { getABPropConfigValue: () => false });
  values('WAWebMiscGatingUtils', { primaryFeatureEnabled: () => false });
  values('WAWebOfficialClient', { isOfficialClient: true });
  values('WAWebLabelCollectionUtils', inert(
    'addToLabelCollection', 'removeLabelFromCollection', 'createLabelItemId',
    'getParentCollection', 'initializeLabels'));
  values('WAWebReactionsModelUtils', inert('addOrUpdateReactionsModelCollection'));
  values('WAWebPollsVotesDb', { upsertVotesDb: async () => null });
  values('WAWebPinChatUtils', { getNumChatsPinned: () => 0 });
  values('WAWebInboxFilters', { isFilterExcludedFromSearchTreatmentInInboxFlow: () => false });
  values('WAWebLinkPreviewChatAction', { getLinkPreview: async () => null });
  values('WAWebGenMinimalLinkPreviewChatAction', { genMinimalLinkPreview: async () => null });
  values('WALinkify', {
    findFirstWebLink: (text) => {
      const found = /https?:\/\/\S+/.exec(text || '');
      return found ? { url: found[0], href: found[0], isHttp: true } : undefined;
    },
    findLink: () => null,
    findLinks: () => [],
  });
  values('WAWebMediaVideoThumbs', {
    generateVideoThumbsAndDuration: async () => ({ duration: 0, thumbs: [] }),
  });
  values('WAWebStickerProcess', { processRawSticker: async () => ({}) });
  values('WAWebEncryptAndSendStatusMsg', { encryptAndSendStatusMsg: async () => null });
  values('WAWebSendMsgCreateFanoutStanza', { createFanoutMsgStanza: async () => null });
  values('WAWebChatSearchQuery', { SearchQuery: class { updateLabelQuery() {} } });
  values('WAWebMsgActionCapability', {
    canReplyMsg: () => true, canEditText: () => true, canEditMsg: () => true,
    canSenderRevokeMsg: () => true, canAdminRevokeMsg: () => false, canEditCaption: () => true,
  });

  module('WAWebContactGetters', (exports, ns) => {
    Object.assign(exports, inert(
      'getNotifyName', 'getPremiumMessageName', 'getIsBroadcast', 'getIsNewsletter', 'getIsPSA',
      'getIsIAS', 'getIsSupportAccount', 'getCanRequestPhoneNumber',
      'getShowBusinessCheckmarkAsPrimary', 'getShowBusinessCheckmarkAsSecondary',
      'getShowBusinessCheckmarkInChatlist', 'getIsDisplayNameApproved',
      'getShouldForceBusinessUpdate', 'getVerifiedName', 'getVerifiedLevel', 'getStatusMute',
      'getShortName', 'getIsEnterprise'), {
      getUserid: (contact) => contact.id.user,
      getName: (contact) => contact.name,
      getPushname: (contact) => contact.pushname,
      getIsUser: (contact) => contact.id.isUser(),
      getIsGroup: (contact) => contact.id.isGroup(),
      getIsWAContact: () => true,
      getIsMe: (contact) => ns('WAWebUserPrefsMeUser').isMeAccount(contact.id),
    });
  });
  values('WAWebFrontendContactGetters', {
    ...inert(
      'getDisplayName', 'getPnForLid', 'getUserDisplayNameForLid', 'getFormattedPhone',
      'getFormattedShortNameWithNonBreakingSpaces', 'getFormattedShortName', 'getFormattedName',
      'getFormattedUser', 'getSearchName', 'getTextStatusString', 'getMentionName',
      'getSearchVerifiedName', 'getHeader'),
    getPhoneNumber: (contact) => contact.id,
    getIsMyContact: (contact) => Boolean(contact.name),
  });
})(self.Simulator);
