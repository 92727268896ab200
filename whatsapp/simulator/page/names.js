'use strict';
/** How people and phones are called on the screens. */
(({ module }) => {
  module('SimNames', (exports, ns) => {
    // Country code, then the sizes of the groups people write in.
    const WRITTEN = { 33: [1, 2, 2, 2, 2], 44: [4, 6], 1: [3, 3, 4], 49: [3, 4, 4], 34: [3, 3, 3] };

    /** '33639980001' -> '+33 6 39 98 00 01'. */
    exports.phone = (digits) => {
      const country = Object.keys(WRITTEN)
        .sort((one, other) => other.length - one.length)
        .find((code) => digits.startsWith(code));
      if (!country) return `+${digits}`;
      const groups = [];
      let at = country.length;
      for (const size of WRITTEN[country]) {
        if (at < digits.length) groups.push(digits.slice(at, at + size));
        at += size;
      }
      return [`+${country}`, ...groups, digits.slice(at)].filter(Boolean).join(' ');
    };

    const contactName = (wid) => (
      ns('WAWebContactCollection').ContactCollection.get(wid)?.name);

    /** A name for a person: the address book's, the phone number, or what they call themselves. */
    exports.person = (wid) => {
      const known = ns('WAWebApiContact').getPhoneNumber(wid);
      if (known) return contactName(known) || exports.phone(known.user);
      const pushname = ns('WAWebContactCollection').ContactCollection.get(wid)?.pushname;
      return `~${pushname || wid.user}`;
    };

    exports.chatTitle = (chat) => (
      chat.name || (chat.id.isGroup() ? 'Group' : exports.person(chat.id)));
  });
})(self.Simulator);
