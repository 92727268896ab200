'use strict';
/**
 * Contacts, LIDs and "is this number on WhatsApp?".
 *
 * queryExists and getNumberId end in WAWebQueryExistsJob; sends to LID-migrated accounts go
 * through WAWebLidMigrationUtils and the cache of LID <-> phone pairs.
 */
(({ module }) => {
  const factory = () => importNamespace('WAWebWidFactory');

  module('WAWebLidPnCache', (exports) => {
    const lids = new Map();
    const phones = new Map();
    const known = (map, wid) => {
      const found = map.get(wid.toString());
      return found ? factory().createWid(found) : undefined;
    };
    exports.lidPnCache = {
      add(lid, { phoneNumber }) {
        lids.set(phoneNumber.toString(), lid.toString());
        phones.set(lid.toString(), phoneNumber.toString());
      },
      getCurrentLid: (wid) => known(lids, wid),
      getPhoneNumber: (wid) => known(phones, wid),
      getLidEntry: () => undefined,
      getAllLids: () => [...phones.keys()].map(factory().createWid),
      clear() {},
      remove() {},
    };
  });

  module('WAWebApiContact', (exports, ns) => {
    const cache = () => ns('WAWebLidPnCache').lidPnCache;
    exports.getCurrentLid = (wid) => (wid.isLid() ? wid : cache().getCurrentLid(wid));
    exports.getPhoneNumber = (wid) => (wid.isLid() ? cache().getPhoneNumber(wid) : wid);
    exports.getAlternateUserWid = (wid) => (
      wid.isLid() ? cache().getPhoneNumber(wid) : cache().getCurrentLid(wid));
    exports.getContactRecord = async () => null;
    exports.getContactHash = async () => null;
  });

  module('WAWebDBCreateLidPnMappings', (exports, ns) => {
    exports.createLidPnMappings = async ({ mappings }) => {
      for (const { pn, lid } of mappings) {
        ns('WAWebLidPnCache').lidPnCache.add(lid, { phoneNumber: pn });
        const row = { id: pn.toString(), pn: pn.toString(), lid: lid.toString() };
        const stored = await ns('SimStore').get('contact', row.id);
        if (!stored || stored.lid !== row.lid) {
          await ns('SimStore').put('contact', { ...stored, ...row });
        }
      }
    };
  });

  module('WAWebLid1X1MigrationGating', (exports, ns) => {
    exports.Lid1X1MigrationUtils = {
      isLidMigrated: () => Boolean(ns('SimStore').user.lidMigrated),
    };
  });

  module('WAWebLidMigrationUtils', (exports, ns) => {
    exports.toUserLid = (wid) => ns('WAWebApiContact').getCurrentLid(wid) || null;
    exports.toUserLidOrThrow = (wid) => {
      const lid = exports.toUserLid(wid);
      if (!lid) throw new Error('no lid');
      return lid;
    };
    exports.toLid = (wid) => ns('WAWebApiContact').getCurrentLid(wid);
    exports.toPn = (wid) => ns('WAWebApiContact').getPhoneNumber(wid);
  });

  module('WAWebContactModel', (exports, ns) => {
    const { BaseModel, defineModel } = ns('WAWebBaseModel');
    class Contact extends BaseModel {
      getAlternateUserWid() { return null; }
    }
    Contact.Proxy = 'contact';
    Contact.defaults = {
      name: undefined, pushname: undefined, isBusiness: false, isEnterprise: false,
      verifiedName: undefined, type: 'in',
    };
    exports.Contact = defineModel(Contact);
    exports.default = exports.Contact;
  });

  module('WAWebQueryExistsJob', (exports, ns) => {
    const ask = async (query) => {
      const user = await ns('SimComms').call('usync', query);
      if (!user) return null;
      const pn = factory().createWid(user.pn);
      const lid = user.lid ? factory().createWid(user.lid) : null;
      if (lid) {
        await ns('WAWebDBCreateLidPnMappings').createLidPnMappings({
          mappings: [{ pn, lid }], flushImmediately: true, learningSource: 'usync',
        });
      }
      const verifiedName = {
        name: user.biz, level: 'unknown', isApi: false, serial: '1', privacyMode: null,
      };
      return { wid: pn, biz: Boolean(user.biz), bizInfo: user.biz ? { verifiedName } : undefined };
    };
    exports.queryWidExists = (wid) => (
      wid.isLid() ? ask({ lid: wid.toString() }) : ask({ phone: `+${wid.user}` }));
    exports.queryPhoneExists = (phone) => ask({ phone });
    exports.queryExist = (entry) => (
      entry.type === 'lid' ? ask({ lid: entry.wid.toString() }) : ask({ phone: entry.phone }));
    exports.queryWidUsernameExists = async () => null;
    exports.queryUsernameExists = async () => null;
  });
})(self.Simulator);
