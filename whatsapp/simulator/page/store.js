'use strict';
/**
 * What a linked device remembers, in IndexedDB: its token, chats, messages and contacts. A page
 * that is loaded again on the same profile is logged in and finds its messages: getMessageById
 * after a crash depends on it.
 */
(({ module }) => {
  module('SimStore', (exports, ns) => {
    const NAME = 'model-storage';
    const STORES = ['user', 'chat', 'message', 'contact', 'group-metadata'];
    let database;

    const open = () => new Promise((resolve, reject) => {
      const request = indexedDB.open(NAME, 2);
      request.onupgradeneeded = (event) => {
        const stores = request.result;
        for (const name of STORES) {
          if (!stores.objectStoreNames.contains(name)) {
            stores.createObjectStore(name, { keyPath: 'id' });
          }
        }
        const messages = event.target.transaction.objectStore('message');
        if (!messages.indexNames.contains('chat')) messages.createIndex('chat', 'chat');
      };
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });

    const transact = (name, mode, work) => new Promise((resolve, reject) => {
      const transaction = database.transaction(name, mode);
      const request = work(transaction.objectStore(name));
      transaction.oncomplete = () => resolve(request && request.result);
      transaction.onerror = () => reject(transaction.error);
      transaction.onabort = () => reject(transaction.error);
    });

    /** `{ token, lidMigrated }` of the linked device, `{}` when there is none. */
    exports.user = {};
    exports.init = async () => {
      database = await open();
      exports.user = (await exports.get('user', 'me')) || {};
    };
    exports.get = (name, key) => transact(name, 'readonly', (store) => store.get(key));
    exports.all = (name) => transact(name, 'readonly', (store) => store.getAll());
    exports.messagesOf = (chat) => transact(
      'message', 'readonly', (store) => store.index('chat').getAll(chat));
    exports.put = (name, row) => transact(name, 'readwrite', (store) => store.put(row));
    exports.setUser = async (user) => {
      exports.user = user;
      await exports.put('user', { id: 'me', ...user });
    };
    /** Forget the login and all that came with it. */
    exports.wipe = async () => {
      exports.user = {};
      for (const name of STORES) await transact(name, 'readwrite', (store) => store.clear());
      const keys = ['last-wid-md', 'WALid', 'me-display-name', ...ns('SimKeys').STORED];
      for (const key of keys) localStorage.removeItem(key);
    };
  });
})(self.Simulator);
