'use strict';
/**
 * Files: from bytes to an uploaded, encrypted body and the message that points to it.
 *
 * wa-js (sendFileMessage): OpaqueData.createFromData, `MediaPrep` + `prepRawMedia` found in the
 * module that also has `uploadProductImage`, `prep.sendToChat({chat, options})`.
 * whatsapp-web.js (processMediaData): prepRawMedia, waitForPrep, WAWebMediaStorage,
 * WAWebMediaMmsV4Upload.uploadMedia, then `mediaData.set(...)` and `mediaData.toJSON()`.
 */
(({ module, values }) => {
  const THUMBNAIL_EDGE = 160; // pixels

  module('WAWebMediaOpaqueDataBase', (exports) => {
    exports.default = class OpaqueDataBase {
      retain() {}
      autorelease() {}
      autoreleaseWhenPromiseCompletes() {}
      throwIfReleased() {}
    };
  });

  module('WAWebMediaOpaqueData', (exports, ns) => {
    class OpaqueData extends ns('WAWebMediaOpaqueDataBase').default {
      constructor(blob) {
        super();
        this._blob = blob;
      }
      static async createFromData(data, type) {
        return new OpaqueData(data instanceof Blob ? data : new Blob([data], { type }));
      }
      static async createFromBase64Jpeg(text) {
        return new OpaqueData(
          new Blob([ns('WABase64').decodeB64(text)], { type: 'image/jpeg' }));
      }
      type() { return this._blob.type; }
      size() { return this._blob.size; }
      forceToBlob() { return this._blob; }
      formData() { return this._blob; }
      url() {
        if (!this._url) this._url = URL.createObjectURL(this._blob);
        return this._url;
      }
      toJSON() { return {}; }
    }
    exports.default = OpaqueData;
  });

  values('WAWebMediaGatingUtils', {
    getUploadLimit: (type) => (type === 'document' ? 2147483648 : 67108864),
    getMediaUploadRetryCount: () => 0,
  });

  module('WAWebMediaData', (exports, ns) => {
    const { BaseModel, defineModel } = ns('WAWebBaseModel');
    /** What is known of a file while it is prepared; spread into the message once it is ready. */
    class MediaData extends BaseModel {}
    MediaData.Proxy = 'mediaData';
    MediaData.defaults = {
      type: undefined, mediaStage: 'INIT', mimetype: undefined, size: undefined,
      filehash: undefined, mediaBlob: undefined, preview: undefined,
    };
    exports.MediaData = defineModel(MediaData);
  });

  module('WAWebMediaStorage', (exports) => {
    const objects = new Map();
    /** One object for each file hash, so that equal files are handled once. */
    class StoredMedia {
      constructor(filehash) {
        Object.assign(this, { filehash, type: undefined, size: undefined, contentInfo: {} });
      }
      consolidate(mediaData) {
        const { type, size, mediaBlob, mimetype } = mediaData;
        Object.assign(this, { type, size, mediaBlob, mimetype });
      }
    }
    exports.getOrCreateMediaObject = (filehash) => {
      if (!objects.has(filehash)) objects.set(filehash, new StoredMedia(filehash));
      return objects.get(filehash);
    };
  });

  module('SimMediaUpload', (exports, ns) => {
    /** Encrypt and upload a blob. Resolves to the fields a message needs to point to it. */
    exports.upload = async (blob, kind) => {
      const sealed = await ns('SimMediaCrypto').encrypt(await blob.arrayBuffer(), kind);
      const query = new URLSearchParams({
        type: kind, hash: sealed.encFilehash, auth: ns('SimStore').user.token || '',
      });
      const answer = await fetch(`/mms/upload?${query}`, { method: 'POST', body: sealed.body });
      if (!answer.ok) throw new Error(`upload failed: ${answer.status} ${await answer.text()}`);
      const { directPath } = await answer.json();
      return {
        directPath,
        mediaKey: sealed.mediaKey,
        mediaKeyTimestamp: ns('WATimeUtils').unixTime(),
        encFilehash: sealed.encFilehash,
      };
    };
  });

  module('WAWebMediaMmsV4Upload', (exports, ns) => {
    exports.uploadMedia = async ({ mediaObject, mediaType }) => {
      const blob = mediaObject.mediaBlob.forceToBlob();
      const entry = await ns('SimMediaUpload').upload(blob, mediaType);
      return {
        mediaEntry: {
          ...entry,
          uploadHash: entry.encFilehash,
          mmsUrl: `${location.origin}${entry.directPath}`,
          deprecatedMms3Url: undefined,
          sidecar: undefined,
          firstFrameSidecar: undefined,
          handle: undefined,
        },
      };
    };
  });
  values('WAWebMmsMediaTypes', {
    msgToMediaType: ({ type, isGif }) => (isGif ? 'gif' : type),
    castToV4: (type) => type,
  });
  values('WAWebMediaDataUtils', { shouldUseMediaCache: () => false });
  values('WAWebStartMediaUploadQpl', { startMediaUploadQpl: () => ({}) });

  module('WAWebMediaPrep', (exports, ns) => {
    class MediaPrep {
      constructor(type, fields) {
        this.mediaData = new (ns('WAWebMediaData').MediaData)({ type });
        this.prepared = Promise.resolve(fields).then((known) => this.mediaData.set(known));
        this.prepared.catch(() => null); // whoever waits for it is told
      }
      async waitForPrep() {
        await this.prepared;
        return this.mediaData;
      }
      sendToChat(parameters) { // wa-js looks at the number of parameters
        return exports.sendMediaMsgToChat({ prep: this, ...parameters });
      }
    }
    exports.MediaPrep = MediaPrep;

    const messageFields = async (prep) => {
      const media = await prep.waitForPrep();
      const fields = {
        type: media.type,
        mimetype: media.mimetype,
        size: media.size,
        filehash: media.filehash,
        width: media.fullWidth,
        height: media.fullHeight,
        body: media.preview,
      };
      return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
    };

    /** Resolves to `{ messageSendResult, t, msg }`; ERROR_UPLOAD when the upload failed. */
    exports.sendMediaMsgToChat = async ({ chat, options, prep }) => {
      let sent;
      const raw = messageFields(prep).then((fields) => ({
        caption: options.caption,
        t: ns('WATimeUtils').unixTime(),
        ack: 0,
        isNewMsg: true,
        ...options.productMsgOptions,
        ...fields,
      }));
      const upload = async (msg) => {
        sent = msg;
        const blob = prep.mediaData.mediaBlob.forceToBlob();
        msg.set(await ns('SimMediaUpload').upload(blob, msg.type));
        prep.mediaData.set({ mediaStage: 'RESOLVED' });
        msg.mediaData = prep.mediaData;
        await ns('SimMessageTable').save(msg);
      };
      try {
        const result = await ns('WAWebSendMsgChatAction').addAndSendMsgToChat(chat, raw, upload)[1];
        return { ...result, msg: sent };
      } catch (error) {
        console.warn('media was not sent:', error.message);
        if (sent) {
          sent.set({ ack: ns('WAWebAck').ACK.FAILED, isSendFailure: true });
          await ns('SimMessageTable').save(sent);
        }
        return { messageSendResult: ns('WAWebSendMsgResultAction').SendMsgResult.ERROR_UPLOAD };
      }
    };

    const picture = async (blob) => {
      try {
        const bitmap = await createImageBitmap(blob);
        const scale = Math.min(1, THUMBNAIL_EDGE / Math.max(bitmap.width, bitmap.height));
        const canvas = new OffscreenCanvas(
          Math.max(1, Math.round(bitmap.width * scale)),
          Math.max(1, Math.round(bitmap.height * scale)));
        canvas.getContext('2d').drawImage(bitmap, 0, 0, canvas.width, canvas.height);
        const small = await canvas.convertToBlob({ type: 'image/jpeg', quality: 0.7 });
        return {
          fullWidth: bitmap.width,
          fullHeight: bitmap.height,
          preview: ns('WABase64').encodeB64(await small.arrayBuffer()),
        };
      } catch {
        return {}; // not a picture after all: it travels without a preview
      }
    };

    const typeOf = (mimetype) => (
      ['image', 'video', 'audio'].find((kind) => mimetype.startsWith(`${kind}/`)) || 'document');

    /** Fields for MediaData from a file; `wanted` is 'unknown' when its type shall decide. */
    exports.processRawMedia = async (opaque, options, wanted) => {
      const blob = opaque.forceToBlob();
      const type = wanted === 'unknown' ? typeOf(blob.type) : wanted;
      return {
        type,
        mimetype: blob.type,
        size: blob.size,
        mediaBlob: opaque,
        filehash: await ns('SimMediaCrypto').hash(await blob.arrayBuffer()),
        mediaStage: 'EXISTS',
        ...(blob.name ? { filename: blob.name } : {}),
        ...(type === 'image' ? await picture(blob) : {}),
      };
    };
  });

  module('WAWebPrepRawMedia', (exports, ns) => {
    const KINDS = {
      isPtt: 'ptt', asDocument: 'document', asGif: 'video', isAudio: 'audio', asSticker: 'sticker',
    };
    exports.prepRawMedia = (opaque, options) => {
      const asked = Object.keys(KINDS).find((name) => options[name]);
      const wanted = asked ? KINDS[asked] : 'unknown';
      const { MediaPrep, processRawMedia } = ns('WAWebMediaPrep');
      return new MediaPrep(wanted, processRawMedia(opaque, options, wanted));
    };
  });

  module('WAWebMedia', (exports, ns) => {
    exports.MediaPrep = ns('WAWebMediaPrep').MediaPrep;
    exports.prepRawMedia = ns('WAWebPrepRawMedia').prepRawMedia;
    exports.uploadProductImage = async () => null;
  });
})(self.Simulator);
