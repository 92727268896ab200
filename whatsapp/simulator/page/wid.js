'use strict';
/**
 * WhatsApp ids. wa-js recognises the class by its static `isXWid` and the factory by `createWid`;
 * both clients read `_serialized`, `user` and `server`.
 */
(({ module, values }) => {
  module('WAWebWid', (exports) => {
    const SHAPE =
      /^([^@]*)@(c\.us|s\.whatsapp\.net|g\.us|lid|broadcast|newsletter|bot|server|call)$/;
    const text = (wid) => (wid == null ? '' : wid.toString());

    class Wid {
      constructor(id, options) {
        if (!options || !options.intentionallyUsePrivateConstructor) {
          throw new Error('Wid is constructed via WidFactory');
        }
        const parts = SHAPE.exec(id);
        if (!parts) throw new Error('wid error: invalid wid');
        const [user, device] = parts[1].split(':');
        this.server = parts[2] === 's.whatsapp.net' ? 'c.us' : parts[2];
        this.user = user;
        if (device && device !== '0') this.device = Number(device);
        this._serialized = `${user}${this.device ? `:${this.device}` : ''}@${this.server}`;
      }

      toString() { return this._serialized; }
      toJid() { return this._serialized.replace('@c.us', '@s.whatsapp.net'); }
      toJSON() { return this._serialized; }
      toLogString() { return this._serialized; }
      equals(other) { return other instanceof Wid && other._serialized === this._serialized; }
      getDeviceId() { return this.device || 0; }
      isCompanion() { return Boolean(this.device); }
      isUser() { return ['c.us', 'lid', 'bot'].includes(this.server); }
      isRegularUser() { return ['c.us', 'lid'].includes(this.server); }
      isUserNotPSA() { return this.isUser() && !this.isPSA(); }
      isLid() { return this.server === 'lid'; }
      isGroup() { return this.server === 'g.us'; }
      isBroadcast() { return this.server === 'broadcast'; }
      isNewsletter() { return this.server === 'newsletter'; }
      isBot() { return this.server === 'bot'; }
      isStatus() { return this._serialized === 'status@broadcast'; }
      isServer() { return this.server === 'server'; }
      isPSA() { return this._serialized === '0@c.us'; }
      isGroupCall() { return this.server === 'call'; }
      isIAS() { return false; }
      isSameAccount(other) { return this.user === other.user; }
      isSameAccountAndAddressingMode(other) {
        return this.user === other.user && this.server === other.server;
      }

      static isXWid(server, wid) {
        return wid instanceof Wid ? wid.server === server : SHAPE.exec(text(wid))?.[2] === server;
      }
      static isWid(wid) { return wid instanceof Wid || (typeof wid === 'string' && SHAPE.test(wid)); }
      static isUser(wid) { return ['c.us', 'lid', 'bot'].some((s) => Wid.isXWid(s, wid)); }
      static isLid(wid) { return Wid.isXWid('lid', wid); }
      static isGroup(wid) { return Wid.isXWid('g.us', wid); }
      static isBroadcast(wid) { return Wid.isXWid('broadcast', wid); }
      static isNewsletter(wid) { return Wid.isXWid('newsletter', wid); }
      static isStatus(wid) { return text(wid) === 'status@broadcast'; }
      static isServer(wid) { return Wid.isXWid('server', wid); }
      static equals(one, other) { return text(one) === text(other); }
      static user(wid) { return text(wid).split('@')[0]; }
      static canBeWid(wid) { return SHAPE.test(text(wid)); }
    }
    exports.default = Wid;
  });

  module('WAWebWidFactory', (exports, ns) => {
    const Wid = ns('WAWebWid').default;
    const made = new Map();
    exports.createWid = (id) => {
      if (id instanceof Wid) return id;
      let wid = made.get(id);
      if (!wid) {
        wid = new Wid(String(id), { intentionallyUsePrivateConstructor: true });
        made.set(id, wid);
      }
      return wid;
    };
    exports.isWidlike = (value) => Wid.isWid(value)
      || (Boolean(value) && typeof value === 'object' && typeof value._serialized === 'string');
    exports.createWidFromWidLike = (value) => (
      value instanceof Wid
        ? value
        : exports.createWid(typeof value === 'string' ? value : value._serialized));
    exports.asUserWidOrThrow = (wid) => exports.createWid(`${wid.user}@${wid.server}`);
    exports.createUserWidOrThrow = (user, server) => exports.asUserWidOrThrow(
      exports.createWid(user.includes('@') ? user : `${user}@${server || 'c.us'}`));
    exports.asUserLidOrThrow = (wid) => {
      if (!wid.isLid()) throw new Error('not a lid');
      return exports.createWid(`${wid.user}@lid`);
    };
    exports.createDeviceWid = exports.createWid;
    exports.createDeviceWidFromUserAndDevice = (user, server, device) => (
      exports.createWid(`${user}:${device}@${server}`));
    exports.toUserWidOrThrow = exports.asUserWidOrThrow;
    exports.toGroupWid = (wid) => wid;
  });

  module('WAWebJidToWid', (exports, ns) => {
    exports.userJidToUserWid = (jid) => (
      ns('WAWebWidFactory').createWid(jid.replace('s.whatsapp.net', 'c.us')));
  });
  values('WAWebWidToJid', {
    widToUserJid: (wid) => wid.toJid(),
    widToChatJid: (wid) => wid.toJid(),
    widToGroupJid: (wid) => wid.toJid(),
  });
})(self.Simulator);
