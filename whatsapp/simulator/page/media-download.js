'use strict';
/** Files that others sent: downloadMedia of both clients fetches, checks and decrypts. */
(({ module }) => {
  const MOST_KEPT = 16; // files

  module('WAWebMediaInMemoryBlobCache', (exports) => {
    /** The files that were looked at last, by file hash. */
    class InMemoryMediaBlobCacheImpl {
      constructor() { this.blobs = new Map(); }
      has(filehash) { return this.blobs.has(filehash); }
      get(filehash) { return this.blobs.get(filehash); }
      put(filehash, blob) {
        this.blobs.set(filehash, blob);
        if (this.blobs.size > MOST_KEPT) this.blobs.delete(this.blobs.keys().next().value);
      }
      clear() { this.blobs.clear(); }
    }
    exports.InMemoryMediaBlobCacheImpl = InMemoryMediaBlobCacheImpl;
    exports.InMemoryMediaBlobCache = new InMemoryMediaBlobCacheImpl();
  });

  module('WAWebLruMediaStore', (exports, ns) => {
    // The real one is a cache on disk; what it would keep, the cache in memory keeps here.
    const cache = () => ns('WAWebMediaInMemoryBlobCache').InMemoryMediaBlobCache;
    exports.LruMediaStore = {
      async get(filehash) { return (await cache().get(filehash)?.arrayBuffer()) ?? null; },
      async put(filehash, bytes) { cache().put(filehash, new Blob([bytes])); },
      async has(filehash) { return cache().has(filehash); },
      async del(filehash) { cache().blobs.delete(filehash); },
      async clear() { cache().clear(); },
      async count() { return cache().blobs.size; },
    };
  });

  module('WAWebDownloadManager', (exports, ns) => {
    exports.downloadManager = {
      /** Resolves to the file's bytes; rejects with `status` 404 or 410 when WhatsApp lost it. */
      async downloadAndMaybeDecrypt({ directPath, encFilehash, filehash, mediaKey, type, signal }) {
        const answer = await fetch(directPath, { signal });
        if (!answer.ok) {
          throw Object.assign(new Error(`download: ${answer.status}`), { status: answer.status });
        }
        const body = new Uint8Array(await answer.arrayBuffer());
        const { hash, decrypt } = ns('SimMediaCrypto');
        if ((await hash(body)) !== encFilehash) throw new Error('media: wrong encFilehash');
        const plain = await decrypt(body, mediaKey, type);
        if ((await hash(plain)) !== filehash) throw new Error('media: wrong filehash');
        return plain;
      },
    };
  });

  module('SimMediaDownload', (exports, ns) => {
    /** Fill `msg.mediaData.mediaBlob`; a failure shows in `mediaStage` only, as on the real page. */
    exports.download = async (msg) => {
      const { mediaData } = msg;
      mediaData.set({ mediaStage: 'FETCHING' });
      try {
        const plain = await ns('WAWebDownloadManager').downloadManager
          .downloadAndMaybeDecrypt(msg.attributes);
        const blob = new Blob([plain], { type: msg.mimetype });
        ns('WAWebMediaInMemoryBlobCache').InMemoryMediaBlobCache.put(msg.filehash, blob);
        mediaData.set({ mediaStage: 'RESOLVED' });
      } catch (error) {
        console.warn('media was not downloaded:', error.message);
        mediaData.set({ mediaStage: error.status ? 'ERROR_MISSING' : 'ERROR_UNKNOWN' });
      }
    };
  });
})(self.Simulator);
