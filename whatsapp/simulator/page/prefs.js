'use strict';
/**
 * Who we are, kept in localStorage, and the key material of this linked device.
 *
 * getAuthCode (wa-js) and the `qr` event (whatsapp-web.js) put the code together from the server's
 * ref, the noise key, the identity key and the ADV secret; the keys here are random and stable
 * for a profile, and secure nothing.
 */
(({ module, values, inert }) => {
  module('WAWebUserPrefsMeUser', (exports, ns) => {
    const factory = ns('WAWebWidFactory');
    const read = (key) => {
      const stored = localStorage.getItem(key);
      return stored ? factory.createWid(JSON.parse(stored)) : undefined;
    };
    const write = (key, value) => {
      if (value) localStorage.setItem(key, JSON.stringify(value.toString()));
      else localStorage.removeItem(key);
    };
    const same = (one, other) => Boolean(one && other)
      && one.isSameAccountAndAddressingMode(other);

    exports.getMaybeMeDevicePn = () => read('last-wid-md');
    exports.getMaybeMeDeviceLid = () => read('WALid') || null;
    exports.getMaybeMePnUser = () => {
      const wid = read('last-wid-md');
      return wid && factory.asUserWidOrThrow(wid);
    };
    exports.getMaybeMeLidUser = () => {
      const wid = read('WALid');
      return wid ? factory.asUserWidOrThrow(wid) : null;
    };
    exports.getMeLidUserOrThrow = () => {
      const wid = exports.getMaybeMeLidUser();
      if (!wid) throw new Error('meLidUser');
      return wid;
    };
    exports.getMePnUserOrThrow = () => {
      const wid = exports.getMaybeMePnUser();
      if (!wid) throw new Error('me');
      return wid;
    };
    exports.getMePnUserOrThrow_DO_NOT_USE = exports.getMePnUserOrThrow;
    exports.getMeUserOrThrow = exports.getMePnUserOrThrow;
    exports.getMe = () => read('last-wid-md');
    exports.getMeDevicePnOrThrow_DO_NOT_USE = exports.getMe;
    exports.getMaybeMeDisplayName = () => (
      JSON.parse(localStorage.getItem('me-display-name') || 'null') || undefined);
    exports.setMe = (wid) => write('last-wid-md', wid);
    exports.setMeLid = (wid) => write('WALid', wid);
    exports.setMeDisplayName = (name) => write('me-display-name', name);
    exports.isMeAccount = (wid) => same(wid, exports.getMaybeMePnUser())
      || same(wid, exports.getMaybeMeLidUser());
    exports.isMePrimary = exports.isMeAccount;
    exports.isMeDevice = exports.isMeAccount;
    exports.isSerializedWidMe = (id) => exports.isMeAccount(factory.createWid(id));
  });

  module('WAWebUserPrefsMultiDevice', (exports, ns) => {
    exports.isRegistered = () => Boolean(ns('SimStore').user.token);
    exports.getADVSecretKey = () => ns('WAWebAdvSignatureApi').getADVSecretKey();
  });

  module('WAWebUserPrefsIsLoggedIn', (exports, ns) => {
    let connected = false;
    exports.isLoggedIn = () => ns('WAWebUserPrefsMultiDevice').isRegistered() && connected;
    exports.setIsConnectedAsRegistered = (value) => { connected = value; };
  });

  module('SimKeys', (exports, ns) => {
    exports.STORED = ['sim-noise', 'sim-identity', 'sim-adv'];
    /** base64 of 32 random bytes, the same for as long as the profile is logged in or waiting. */
    exports.secret = (name) => {
      let stored = localStorage.getItem(name);
      if (!stored) {
        stored = ns('WABase64').encodeB64(crypto.getRandomValues(new Uint8Array(32)));
        localStorage.setItem(name, stored);
      }
      return stored;
    };
    exports.pair = (name) => ({
      pubKey: ns('WABase64').decodeB64(exports.secret(name)), privKey: new ArrayBuffer(32),
    });
    /** The whole text of the QR code for a ref. */
    exports.codeFor = (ref) => [
      ref, exports.secret('sim-noise'), exports.secret('sim-identity'), exports.secret('sim-adv'),
      ns('WAWebCompanionRegClientUtils').DEVICE_PLATFORM,
    ].join(',');
  });

  module('WAWebUserPrefsInfoStore', (exports, ns) => {
    exports.waNoiseInfo = {
      async get() {
        return { staticKeyPair: ns('SimKeys').pair('sim-noise'), recoveryToken: new ArrayBuffer(8) };
      },
    };
  });
  module('WAWebSignalStoreApi', (exports, ns) => {
    exports.waSignalStore = {
      async getRegistrationInfo() {
        return { registrationId: 1, identityKeyPair: ns('SimKeys').pair('sim-identity') };
      },
    };
  });
  module('WAWebAdvSignatureApi', (exports, ns) => {
    exports.getADVSecretKey = () => ns('SimKeys').secret('sim-adv');
    Object.assign(exports, inert('setADVSignedIdentity', 'generateADVSecretKey'));
  });
  values('WAWebCompanionRegClientUtils', { DEVICE_PLATFORM: '1' });
  values('WAWebMiscBrowserUtils', {
    info: () => ({ os: 'Linux', name: 'Chrome', version: '1' }),
    default: {
      id: () => 'chrome', info: () => ({ os: 'Linux', name: 'Chrome', version: '1' }),
      startDownloading() {}, hardRefresh() {},
    },
  });
})(self.Simulator);
