'use strict';
/**
 * The key of a message: `<fromMe>_<chat>_<stanza id>[_<participant>]`.
 *
 * wa-js recognises the class by "MsgKey error: obj is null/undefined" and reads the name of the
 * property that holds the text out of `toString`'s source. Today's client has it in a minified
 * property; whatsapp-web.js 1.34.7 expects the older `_serialized`, which the simulator offers
 * with the setting `msg_key: "plain"`.
 */
(({ module }) => {
  module('WAWebMsgKey', (exports, ns) => {
    const Wid = ns('WAWebWid').default;
    const plain = document.documentElement.dataset.msgKey === 'plain';

    class MsgKey {
      constructor(parts) {
        if (!parts) throw new Error('MsgKey error: obj is null/undefined');
        const me = ns('WAWebUserPrefsMeUser');
        if (!me.getMaybeMePnUser()) throw new Error('MsgKey error: me is undefined');
        if (!parts.id) throw new Error("MsgKey error: don't have a matching constructor");
        let self;
        if (parts.from != null && parts.to != null) {
          if (!(parts.from instanceof Wid) || !(parts.to instanceof Wid)) {
            throw new Error('MsgKey error: something is not a wid');
          }
          const toMyself = Wid.equals(parts.from, parts.to);
          if (toMyself) self = parts.selfDir;
          this.fromMe = me.isMePrimary(parts.from) && (!toMyself || parts.selfDir === 'out');
          this.remote = this.fromMe ? parts.to : parts.from;
        } else {
          if (!(parts.remote instanceof Wid)) {
            throw new Error('MsgKey error: something is not a wid');
          }
          if (me.isMePrimary(parts.remote)) self = parts.fromMe ? 'out' : 'in';
          this.fromMe = parts.fromMe;
          this.remote = parts.remote;
        }
        this.id = parts.id;
        const words = [this.fromMe, this.remote, this.id];
        if (self !== undefined) {
          this.self = self;
          words.push(self);
        }
        if (parts.participant != null) {
          this.participant = parts.participant;
          words.push(parts.participant);
        }
        if (plain) this._serialized = words.join('_');
        else this.$1 = words.join('_');
      }

      toString() { return this.$1; }

      clone() {
        return new MsgKey({
          fromMe: this.fromMe, remote: this.remote, id: this.id, participant: this.participant,
        });
      }

      equals(other) { return other instanceof MsgKey && other.toString() === this.toString(); }

      static from(key) {
        if (key instanceof MsgKey) return key;
        const factory = ns('WAWebWidFactory');
        if (typeof key !== 'string') {
          return new MsgKey({
            fromMe: key.fromMe,
            remote: factory.createWidFromWidLike(key.remote),
            id: key.id,
            participant: key.participant && factory.createWidFromWidLike(key.participant),
          });
        }
        const words = key.split('_');
        if (words.length < 3) throw new Error(`MsgKey.fromString error: ${key}`);
        const toMyself = words[3] === 'in' || words[3] === 'out';
        const participant = toMyself ? words[4] : words[3];
        return new MsgKey({
          fromMe: words[0] === 'true',
          remote: factory.createWid(words[1]),
          id: words[2],
          participant: participant ? factory.createWid(participant) : undefined,
        });
      }

      static fromString(key) {
        if (key == null) throw new Error('MsgKey.fromString error: str is null or not a string');
        return MsgKey.from(key);
      }

      static async newId() { return `3EB0${ns('WARandomHex').randomHex(9)}`; }
      static newId_DEPRECATED() { return `3EB0${ns('WARandomHex').randomHex(8)}`; }
    }
    if (plain) MsgKey.prototype.toString = function toString() { return this._serialized; };
    exports.default = MsgKey;
  });
})(self.Simulator);
