'use strict';
/**
 * Linking with a phone number: the page shows eight characters, and its owner types them on the
 * phone. wa-js: genLinkDeviceCodeForPhoneNumber; whatsapp-web.js: requestPairingCode.
 */
(({ module, inert }) => {
  module('WAWebLinkDeviceEvents', (exports, ns) => {
    const PREFIX = 'link_device_events:';
    class LinkDeviceEvents extends ns('WAWebEventEmitter').default {
      triggerRefreshAltLinkingCode() { this.trigger(`${PREFIX}refresh_alt_linking_code`); }
    }
    exports.WAWebLinkDeviceEvents = new LinkDeviceEvents();
  });

  module('WAWebAltDeviceLinkingApi', (exports, ns) => {
    /** The code to type on the phone; rejects when the server knows no such phone. */
    exports.genLinkDeviceCodeForPhoneNumber = async (phone) => {
      const { code } = await ns('SimComms').call('link_code', { phone });
      ns('WAWebConnModel').Conn.set({ linkCode: code });
      return code;
    };
    exports.startAltLinkingFlow = exports.genLinkDeviceCodeForPhoneNumber;
    exports.initializeAltDeviceLinking = async () => {};
    exports.initializeQRLinking = async () => {
      ns('WAWebConnModel').Conn.set({ linkCode: undefined });
    };
    Object.assign(exports, inert('setPairingType'));
    /** The server took the code back, because it was too old. */
    exports.expired = () => {
      ns('WAWebConnModel').Conn.set({ linkCode: undefined });
      ns('WAWebLinkDeviceEvents').WAWebLinkDeviceEvents.triggerRefreshAltLinkingCode();
    };
  });

  module('WAWebLaunchSocketUtils', (exports, ns) => {
    exports.refreshQR = () => ns('WAWebCmd').Cmd.refreshQR();
  });
})(self.Simulator);
