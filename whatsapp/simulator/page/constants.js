'use strict';
/** Constants and small tools: bound by wa-js at boot (acks, states, types), ids and hashes. */
(({ module, values, names, inert }) => {
  const VERSION = '2.3000.1045818043'; // a build that wa-js 4.6.0 knows how to read

  values('WAWebBuildConstants', {
    VERSION_STR: VERSION, SANITIZED_VERSION_STR: VERSION, VERSION_BASE: VERSION,
  });
  values('WAWebSocketConstants', {
    SOCKET_STATE: names(
      'OPENING', 'PAIRING', 'UNPAIRED', 'UNPAIRED_IDLE', 'CONNECTED', 'TIMEOUT', 'CONFLICT',
      'UNLAUNCHED', 'PROXYBLOCK', 'TOS_BLOCK', 'SMB_TOS_BLOCK', 'DEPRECATED_VERSION'),
    SOCKET_STREAM: names('DISCONNECTED', 'SYNCING', 'RESUMING', 'CONNECTED'),
    WATCHED_SOCKET_STATE: names('OPEN', 'CLOSED'),
  });
  values('WAWebStreamTypes', {
    StreamInfo: names(
      'OFFLINE', 'OPENING', 'PAIRING', 'SYNCING', 'RESUMING', 'CONNECTING', 'NORMAL'),
    Obscurity: names('HIDE', 'SHOW', 'OBSCURE'),
  });
  values('WAWebAck', {
    ACK: {
      MD_DOWNGRADE: -7, INACTIVE: -6, CONTENT_UNUPLOADABLE: -5, CONTENT_TOO_BIG: -4,
      CONTENT_GONE: -3, EXPIRED: -2, FAILED: -1, CLOCK: 0, SENT: 1, RECEIVED: 2, READ: 3,
      PLAYED: 4, PEER: 5,
    },
    ACK_STRING: {
      SENDER: 'sender', DELIVERY: 'delivery', READ: 'read', PLAYED: 'played',
      INACTIVE: 'inactive', READ_SELF: 'read-self', PLAYED_SELF: 'played-self',
    },
    EDIT_ATTR: { SENDER_REVOKE: 7, ADMIN_REVOKE: 8 },
  });
  values('WAWebMsgType', {
    MSG_TYPE: {
      CHAT: 'chat', IMAGE: 'image', VIDEO: 'video', PTT: 'ptt', AUDIO: 'audio',
      DOCUMENT: 'document', STICKER: 'sticker', LOCATION: 'location', VCARD: 'vcard',
      PROTOCOL: 'protocol', REVOKED: 'revoked', CIPHERTEXT: 'ciphertext', CALL_LOG: 'call_log',
      REACTION: 'reaction',
    },
    SYSTEM_MESSAGE_TYPES: [],
  });
  values('WAWebSendMsgResultAction', {
    SendMsgResult: names(
      'OK', 'ERROR_NETWORK', 'ERROR_EXPIRED', 'ERROR_CANCELLED', 'ERROR_UPLOAD', 'ERROR_UNKNOWN'),
  });
  values('WAWebMediaTypes', {
    OUTWARD_TYPES: {
      IMAGE: 'image', VIDEO: 'video', PTT: 'ptt', AUDIO: 'audio', DOCUMENT: 'document',
      STICKER: 'sticker', UNKNOWN: 'unknown',
    },
  });
  values('WAWebLogoutReasonConstants', {
    LogoutReason: {
      UserInitiated: 'user_initiated', SyncdTimeout: 'syncd_timeout',
      UnknownCompanion: 'unknown_companion', AccountLocked: 'account_locked',
    },
    LOGOUT_REASON_CODE: {
      CLIENT_FATAL: '0', SYNC_FAIL: '1', INITIAL_HISTORY_SYNC_TIMEOUT: '2', ACCOUNT_LOCKED: '3',
    },
  });
  values('WAWebLogoutReason', {
    getErrorCodeFromLogoutReason: (reason) => (reason === 'account_locked' ? '3' : '0'),
    ...inert(
      'setPrevLogoutReasonCode', 'setPrevCustomLogoutMessage', 'getPrevLogoutReasonCode',
      'getPrevCustomLogoutMessage'),
  });
  values('WAJids', {
    GROUP_JID: 'g.us', CHAT_JID: 's.whatsapp.net', STATUS_JID: 'status@broadcast',
  });
  values('WAWebNonJidMentionType', { default: { MENTION_ALL: 1 } });
  values('WAWebDropAttr', { DROP_ATTR: Symbol('drop') });
  values('WAWebConstantsDeprecated', { default: { IMG_THUMB_MAX_EDGE: 100 } });
  values('WAWebEnvironment', { default: { isWeb: true, isWindows: false } });
  values('WAWebServerPropConstants', {
    MAX_FILE_SIZE_BYTES: 2147483648, MULTICAST_LIMIT_GLOBAL: 5,
  });

  values('WATimeUtils', {
    unixTime: () => Math.floor(Date.now() / 1000),
    unixTimeMs: () => Date.now(),
  });
  values('WARandomHex', {
    /** `count` random bytes as upper-case hex. */
    randomHex: (count) => Array.from(
      crypto.getRandomValues(new Uint8Array(count)),
      (byte) => byte.toString(16).padStart(2, '0')).join('').toUpperCase(),
  });
  module('WABase64', (exports) => {
    exports.encodeB64 = (buffer) => {
      const bytes = new Uint8Array(buffer);
      let text = '';
      for (let at = 0; at < bytes.length; at += 8192) {
        text += String.fromCharCode(...bytes.subarray(at, at + 8192));
      }
      return btoa(text);
    };
    exports.decodeB64 = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;
  });
})(self.Simulator);
