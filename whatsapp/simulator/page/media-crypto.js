'use strict';
/**
 * WhatsApp's media encryption with WebCrypto; media.py has the server's half and the layout of
 * the keys.
 */
(({ module }) => {
  module('SimMediaCrypto', (exports, ns) => {
    const INFO = {
      image: 'WhatsApp Image Keys', sticker: 'WhatsApp Image Keys',
      video: 'WhatsApp Video Keys', ptv: 'WhatsApp Video Keys', gif: 'WhatsApp Video Keys',
      audio: 'WhatsApp Audio Keys', ptt: 'WhatsApp Audio Keys',
      document: 'WhatsApp Document Keys',
    };
    const MAC_LENGTH = 10;

    const signature = async (keys, ciphertext) => {
      const macKey = await crypto.subtle.importKey(
        'raw', keys.mac, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign']);
      const signed = new Uint8Array(keys.iv.length + ciphertext.length);
      signed.set(keys.iv);
      signed.set(ciphertext, keys.iv.length);
      const mac = new Uint8Array(await crypto.subtle.sign('HMAC', macKey, signed));
      return mac.subarray(0, MAC_LENGTH);
    };

    const expand = async (mediaKey, kind) => {
      const material = await crypto.subtle.importKey('raw', mediaKey, 'HKDF', false, ['deriveBits']);
      const bits = await crypto.subtle.deriveBits({
        name: 'HKDF',
        hash: 'SHA-256',
        salt: new Uint8Array(32),
        info: new TextEncoder().encode(INFO[kind] || INFO.document),
      }, material, 112 * 8);
      const bytes = new Uint8Array(bits);
      return { iv: bytes.slice(0, 16), cipher: bytes.slice(16, 48), mac: bytes.slice(48, 80) };
    };

    /** base64 of SHA-256 of a buffer. */
    exports.hash = async (buffer) => (
      ns('WABase64').encodeB64(await crypto.subtle.digest('SHA-256', buffer)));

    /** `{ mediaKey, body, encFilehash }`: base64, bytes to upload, base64. */
    exports.encrypt = async (plain, kind) => {
      const mediaKey = crypto.getRandomValues(new Uint8Array(32));
      const keys = await expand(mediaKey, kind);
      const cipherKey = await crypto.subtle.importKey(
        'raw', keys.cipher, 'AES-CBC', false, ['encrypt']);
      const ciphertext = new Uint8Array(
        await crypto.subtle.encrypt({ name: 'AES-CBC', iv: keys.iv }, cipherKey, plain));
      const body = new Uint8Array(ciphertext.length + MAC_LENGTH);
      body.set(ciphertext);
      body.set(await signature(keys, ciphertext), ciphertext.length);
      return {
        mediaKey: ns('WABase64').encodeB64(mediaKey),
        body,
        encFilehash: await exports.hash(body),
      };
    };

    /** The bytes behind an uploaded body; rejects when it is not what `mediaKey` signed. */
    exports.decrypt = async (body, mediaKey, kind) => {
      const keys = await expand(ns('WABase64').decodeB64(mediaKey), kind);
      const ciphertext = body.subarray(0, body.length - MAC_LENGTH);
      const mac = body.subarray(body.length - MAC_LENGTH);
      const expected = await signature(keys, ciphertext);
      if (!expected.every((byte, at) => byte === mac[at])) throw new Error('media: wrong MAC');
      const cipherKey = await crypto.subtle.importKey(
        'raw', keys.cipher, 'AES-CBC', false, ['decrypt']);
      return crypto.subtle.decrypt({ name: 'AES-CBC', iv: keys.iv }, cipherKey, ciphertext);
    };
  });
})(self.Simulator);
