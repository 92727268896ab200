'use strict';
/** Pieces of the screen that people see: times, ticks, bubbles. Clients never use them. */
(({ module }) => {
  module('SimParts', (exports) => {
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
      if (msg.type === 'gp2') return CHANGES[msg.subtype] || '';
      const text = captionOf(msg) || (msg.type === 'document' && msg.filename) || msg.loc;
      return text ? `${(MARKS[msg.type] || msg.type).split(' ')[0]} ${text}` : MARKS[msg.type] || msg.type;
    };

    const { element } = exports;

    const LINKS = /(https?:\/\/[^\s]+)/g;
    const withLinks = (text) => text.split(LINKS).map((part) => (
      /^https?:\/\//.test(part)
        ? element('a', { href: part, target: '_blank', rel: 'noreferrer noopener' }, part)
        : part));

    const preview = (msg) => msg.title && element('span', { class: 'link' },
      msg.thumbnail && element('img', { alt: '', src: `data:image/jpeg;base64,${msg.thumbnail}` }),
      element('strong', {}, msg.title),
      element('span', { class: 'detail' }, msg.description || ''));

    const content = (msg) => {
      const text = captionOf(msg);
      const caption = text ? element('span', { class: 'text' }, ...withLinks(text)) : null;
      switch (msg.type) {
        case 'chat': return [
          preview(msg), element('span', { class: 'text' }, ...withLinks(msg.body || '')),
        ];
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
          element('span', { class: 'file' }, exports.summary({ ...msg, caption: '' })),
          caption,
        ];
      }
    };

    /**
     * A message as it stands in a conversation. `msg` has the fields of a message, as plain data;
     * `author` is the name to show above it.
     */
    exports.bubble = (msg, { id, mine, author }) => element('li',
      { class: `bubble ${mine ? 'mine' : 'theirs'}`, 'data-id': id },
      author && element('span', { class: 'author' }, author),
      msg.quotedMsg && element('span', { class: 'quote' }, exports.summary(msg.quotedMsg)),
      ...content(msg),
      element('span', { class: 'meta' },
        element('time', {}, exports.time(msg.t)),
        mine ? exports.tick(msg.ack) : null));

    const CHANGES = {
      create: 'The group was made', add: 'came in', remove: 'was removed', leave: 'left',
      promote: 'is an admin now', demote: 'is no admin any more',
      announce: 'Who may write has changed', subject: 'The group is called',
    };

    /** A change of the group, between the messages; `people` are the names of those it is about. */
    exports.note = (msg, people) => element('li', { class: 'note', 'data-id': msg.id.toString() },
      [people.join(', '), CHANGES[msg.subtype] || msg.subtype, msg.body].filter(Boolean).join(' '));
  });
})(self.Simulator);
