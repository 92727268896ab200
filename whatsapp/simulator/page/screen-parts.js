'use strict';
/** Pieces of the screen that people see: names, times, ticks, bubbles. Clients never use them. */
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

    /** A name for a person: the address book's, or the phone number. */
    exports.person = (wid) => {
      const known = ns('WAWebApiContact').getPhoneNumber(wid);
      if (!known) return `~${wid.user}`;
      return contactName(known) || exports.phone(known.user);
    };

    exports.chatTitle = (chat) => (
      chat.name || (chat.id.isGroup() ? 'Group' : exports.person(chat.id)));
  });

  module('SimParts', (exports, ns) => {
    const SVG = 'http://www.w3.org/2000/svg';

    /** `element('p', { class: 'x', onclick: f }, 'text', child)`. */
    exports.element = (name, attributes, ...children) => {
      const made = document.createElement(name);
      for (const [key, value] of Object.entries(attributes || {})) {
        if (value === undefined || value === false) continue;
        if (key.startsWith('on')) made.addEventListener(key.slice(2), value);
        else made.setAttribute(key, value === true ? '' : value);
      }
      made.append(...children.filter((child) => child != null && child !== false));
      return made;
    };

    const drawing = (label, className, ...paths) => {
      const svg = document.createElementNS(SVG, 'svg');
      svg.setAttribute('viewBox', '0 0 18 12');
      svg.setAttribute('class', `tick ${className}`);
      svg.setAttribute('role', 'img');
      svg.setAttribute('aria-label', label);
      for (const d of paths) {
        const path = document.createElementNS(SVG, 'path');
        path.setAttribute('d', d);
        svg.append(path);
      }
      return svg;
    };
    const ONE = 'M3 6.5 L6.5 10 L13 2.5';
    const SECOND = 'M9 9.2 L9.8 10 L16.3 2.5';

    /** Clock, one tick, two ticks, two blue ticks, or an exclamation mark. */
    exports.tick = (ack) => {
      if (ack < 0) return drawing('Not sent', 'failed', 'M9 1.5 V7', 'M9 9.8 V10.2');
      if (!ack) return drawing('Waiting', 'clock', 'M9 1 A5 5 0 1 0 9.01 1', 'M9 3.2 V6 H11.4');
      if (ack === 1) return drawing('Sent', '', ONE);
      if (ack === 2) return drawing('Delivered', '', ONE, SECOND);
      return drawing('Read', 'read', ONE, SECOND);
    };

    /** Seconds since 1970 -> '14:05', or the day when it is not today. */
    exports.time = (seconds, { day } = {}) => {
      if (!seconds) return '';
      const when = new Date(seconds * 1000);
      const today = when.toDateString() === new Date().toDateString();
      return day && !today
        ? when.toLocaleDateString([], { day: '2-digit', month: '2-digit', year: '2-digit' })
        : when.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
    };

    /** Two letters in a coloured circle; the colour depends on the id only. */
    exports.avatar = (title, seed) => {
      const words = title.replace(/[^\p{L}\p{N} ]/gu, '').trim().split(/\s+/);
      const letters = /^\d/.test(words[0] || '')
        ? title.replace(/\D/g, '').slice(-2)
        : words.slice(0, 2).map((word) => word[0]).join('').toUpperCase();
      const hue = [...seed].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % 360, 7);
      const made = exports.element('span', { class: 'avatar', 'aria-hidden': 'true' }, letters);
      made.style.setProperty('--hue', hue);
      return made;
    };

    const MARKS = {
      image: '📷 Photo', video: '🎬 Video', audio: '🎵 Audio', ptt: '🎤 Voice message',
      document: '📄 Document', sticker: 'Sticker', location: '📍 Location',
    };

    // wa-js gives a document its file name as caption, and says that nobody wrote it.
    const captionOf = (msg) => (msg.isCaptionByUser === false ? '' : msg.caption);

    /** One line for the chat list. */
    exports.summary = (msg) => {
      if (msg.type === 'chat') return msg.body || '';
      const text = captionOf(msg) || (msg.type === 'document' && msg.filename) || msg.loc;
      return text ? `${(MARKS[msg.type] || msg.type).split(' ')[0]} ${text}` : MARKS[msg.type] || msg.type;
    };

    const { element } = exports;

    const LINKS = /(https?:\/\/[^\s]+)/g;
    const withLinks = (text) => text.split(LINKS).map((part) => (
      /^https?:\/\//.test(part)
        ? element('a', { href: part, target: '_blank', rel: 'noreferrer noopener' }, part)
        : part));

    const content = (msg) => {
      const text = captionOf(msg);
      const caption = text ? element('span', { class: 'text' }, ...withLinks(text)) : null;
      switch (msg.type) {
        case 'chat': return [element('span', { class: 'text' }, ...withLinks(msg.body || ''))];
        case 'image': return [
          msg.body
            ? element('img', { class: 'photo', alt: '', src: `data:image/jpeg;base64,${msg.body}` })
            : element('span', { class: 'file' }, MARKS.image),
          caption,
        ];
        case 'location': return [
          element('span', { class: 'file' }, `📍 ${msg.loc || 'Location'}`),
          element('span', { class: 'detail' }, `${msg.lat}, ${msg.lng}`),
        ];
        default: return [
          element('span', { class: 'file' }, exports.summary({ ...msg.attributes, caption: '' })),
          caption,
        ];
      }
    };

    /** A message as it stands in a conversation. */
    exports.bubble = (msg) => {
      const mine = msg.id.fromMe;
      const author = !mine && msg.id.remote.isGroup() && msg.author;
      return element('li', { class: `bubble ${mine ? 'mine' : 'theirs'}`, 'data-id': msg.id.toString() },
        author && element('span', { class: 'author' }, ns('SimNames').person(msg.author)),
        ...content(msg),
        element('span', { class: 'meta' },
          element('time', {}, exports.time(msg.t)),
          mine ? exports.tick(msg.ack) : null));
    };
  });
})(self.Simulator);
