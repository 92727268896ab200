'use strict';
/**
 * What a person sees: the QR code, then chats and a conversation, and a banner about the
 * connection. Everything is drawn from the same stores that the clients use, a few times a second
 * at most, so that a benchmark is not slowed down by pictures nobody looks at.
 */
(({ module }) => {
  module('SimScreen', (exports, ns) => {
    const PAUSE = 120; // ms between two drawings, at least
    const SHARE = 0.05; // of the page's time that drawing may take
    const MOST_CHATS = 200;
    const MOST_MESSAGES = 200;
    const { element, tick, time, avatar, bubble, note, summary } = ns('SimParts');
    const names = ns('SimNames');
    const conn = ns('WAWebConnModel').Conn;
    const socket = ns('WAWebSocketModel').Socket;
    const stream = ns('WAWebStreamModel').Stream;
    const chats = ns('WAWebChatCollection').ChatCollection;
    const messages = ns('WAWebMsgCollection').MsgCollection;

    let root;
    let open = null; // the chat that is shown
    let timer;
    let shownScreen = '';
    const parts = {};

    let pause = PAUSE;
    const drawSoon = () => {
      const now = urgent();
      if (timer && !now) return;
      clearTimeout(timer);
      timer = setTimeout(() => {
        timer = undefined;
        const began = performance.now();
        paint();
        pause = Math.max(PAUSE, (performance.now() - began) / SHARE);
      }, now ? 0 : pause);
    };
    /** Whether a person would wait for the drawing: another screen, or a new code. */
    const urgent = () => screenNow() !== shownScreen
      || (shownScreen === 'qr' && parts.code.dataset.key !== codeKey());

    const screenNow = () => {
      if (stream.mode === 'QR') return 'qr';
      if (stream.mode === 'CONFLICT') return 'conflict';
      return stream.mode === 'MAIN' ? 'main' : 'loading';
    };

    const paint = () => {
      const screen = screenNow();
      root.dataset.mode = stream.mode;
      root.dataset.info = stream.info;
      if (screen !== shownScreen) {
        shownScreen = screen;
        root.dataset.screen = screen;
        root.replaceChildren(...frames[screen]());
      }
      if (screen === 'qr') paintCode();
      if (screen === 'main') paintMain();
    };

    // ---------------------------------------------------------------- screens

    const frames = {
      loading: () => [element('p', { class: 'notice', role: 'status' }, 'Loading your chats…')],
      conflict: () => [
        element('section', { class: 'card narrow' },
          element('h1', {}, 'Open in another window'),
          element('p', {}, 'This account is in use in another browser. Use it here instead?'),
          element('button', { class: 'primary', onclick: () => socket.takeover() }, 'Use here')),
      ],
      qr: () => {
        parts.code = element('div', { class: 'code' });
        parts.typed = element('p', { hidden: true }, 'Or type this code on the phone: ',
          element('strong', { class: 'link-code' }));
        return [
          element('section', { class: 'card' },
            element('div', { class: 'steps' },
              element('h1', {}, 'Link this browser'),
              loggedOutNote(),
              element('ol', {},
                element('li', {}, 'Open WhatsApp on the phone'),
                element('li', {}, 'Choose Linked devices, then Link a device'),
                element('li', {}, 'Point the phone at this code')),
              parts.typed,
              element('p', { class: 'detail' }, 'This is the simulator. ',
                element('a', { href: '/phone', target: '_blank' }, 'Play the phone'),
                ' to link without one.')),
            parts.code),
        ];
      },
      main: () => {
        parts.banner = element('p', { class: 'banner', role: 'status', hidden: true });
        parts.list = element('ul', { class: 'chats' });
        parts.talk = element('section', { class: 'talk', 'aria-label': 'Conversation' });
        parts.lines = null;
        return [
          element('aside', { class: 'side', 'aria-label': 'Chats' },
            element('header', { class: 'bar' },
              avatar(conn.pushname || 'Me', String(conn.wid)),
              element('span', { class: 'who' },
                element('strong', {}, conn.pushname || 'Me'),
                element('span', { class: 'detail' }, names.phone(conn.wid.user)))),
            parts.banner,
            parts.list),
          parts.talk,
        ];
      },
    };

    const loggedOutNote = () => {
      const reason = new URLSearchParams(location.search).get('logout_reason');
      if (reason === null) return null;
      return element('p', { class: 'banner', role: 'status' },
        reason === '0' ? 'You logged out.' : 'The phone logged this browser out.');
    };

    const codeKey = () => (socket.state === 'UNPAIRED_IDLE' ? 'idle' : conn.ref || 'none');
    const paintCode = () => {
      parts.typed.hidden = !conn.linkCode;
      parts.typed.lastChild.textContent = (conn.linkCode || '').replace(/(.{4})(?=.)/, '$1-');
      const key = codeKey();
      const idle = key === 'idle';
      if (parts.code.dataset.key === key) return;
      parts.code.dataset.key = key;
      delete parts.code.dataset.ref;
      if (idle) {
        const again = () => ns('WAWebCmd').Cmd.refreshQR();
        parts.code.replaceChildren(
          element('button', { class: 'primary', onclick: again }, 'Show a new code'));
      } else if (conn.ref) {
        const text = ns('SimKeys').codeFor(conn.ref);
        parts.code.dataset.ref = text; // as the real page has it, around the picture
        parts.code.replaceChildren(element('img', {
          alt: 'QR code to scan with the phone', width: '264', height: '264',
          src: `/qr.svg?text=${encodeURIComponent(text)}`,
        }));
      } else {
        parts.code.replaceChildren(element('p', { class: 'detail' }, 'Waiting for a code…'));
      }
    };

    // ---------------------------------------------------------------- chats

    const paintMain = () => {
      const away = socket.stream !== 'CONNECTED';
      parts.banner.hidden = !away;
      parts.banner.textContent = away ? 'No connection. Trying again…' : '';
      root.dataset.open = open ? 'talk' : 'list';
      const newest = chats.toArray()
        .sort((one, other) => (other.t || 0) - (one.t || 0))
        .slice(0, MOST_CHATS);
      if (newest.length) parts.list.replaceChildren(...newest.map(row));
      else parts.list.replaceChildren(element('li', { class: 'notice' }, 'No chats yet'));
      paintTalk();
    };

    const previews = new Map();
    const lastMessage = (chat) => {
      const inMemory = chat.msgs.last();
      if (inMemory) return inMemory;
      const key = chat.id.toString();
      if (!previews.has(key)) { // after a restart: look into the database, once
        previews.set(key, null);
        ns('SimMessageTable').rowsOf(chat.id).then((rows) => {
          if (!rows.length) return;
          previews.set(key, new (ns('WAWebMsgModel').Msg)(
            ns('SimMessageTable').raw(rows[rows.length - 1])));
          drawSoon();
        });
      }
      return previews.get(key);
    };

    const row = (chat) => {
      const title = names.chatTitle(chat);
      const last = lastMessage(chat);
      return element('li', {},
        element('button', {
          class: 'chat', 'aria-current': chat === open ? 'true' : undefined,
          onclick: () => show(chat),
        },
        avatar(title, chat.id.toString()),
        element('span', { class: 'line' },
          element('strong', {}, title),
          element('time', {}, time(chat.t, { day: true }))),
        element('span', { class: 'line' },
          element('span', { class: 'preview' },
            last && last.id.fromMe ? tick(last.ack) : null,
            last ? summary(last) : ''),
          chat.unreadCount > 0
            ? element('span', { class: 'count', 'aria-label': 'unread' }, String(chat.unreadCount))
            : null)));
    };

    // ---------------------------------------------------------------- a conversation

    const show = async (chat) => {
      open = chat;
      parts.lines = null;
      const { Msg } = ns('WAWebMsgModel');
      const rows = chat ? await ns('SimMessageTable').rowsOf(chat.id) : [];
      for (const stored of rows.slice(-MOST_MESSAGES)) {
        const known = messages.get(stored.id);
        if (known) chat.msgs.add(known);
        else chat.msgs.add(new Msg(ns('SimMessageTable').raw(stored)));
      }
      if (chat) ns('WAWebUpdateUnreadChatAction').sendSeen({ chat });
      paint();
    };

    const send = (event) => {
      event.preventDefault();
      const field = event.target.elements.text;
      const text = field.value.trim();
      if (!text) return;
      field.value = '';
      ns('WAWebSendTextMsgChatAction').sendTextMsgToChat(open, text);
    };

    const line = (msg) => {
      if (msg.type === 'gp2') {
        const people = msg.subtype === 'create' ? [] : msg.recipients || [];
        return note(msg, people.map((id) => names.person(ns('WAWebWidFactory').createWid(id))));
      }
      const { fromMe, remote } = msg.id;
      const author = !fromMe && remote.isGroup() && msg.author && names.person(msg.author);
      return bubble(msg.attributes, { id: msg.id.toString(), mine: fromMe, author });
    };

    const paintTalk = () => {
      if (!open) {
        parts.talk.replaceChildren(element('p', { class: 'notice' }, 'Choose a chat'));
        return;
      }
      if (!parts.lines) {
        const title = names.chatTitle(open);
        parts.lines = element('ol', { class: 'lines' });
        parts.talk.replaceChildren(
          element('header', { class: 'bar' },
            element('button', { class: 'back', 'aria-label': 'Back', onclick: () => show(null) }, '‹'),
            avatar(title, open.id.toString()),
            element('strong', {}, title)),
          parts.lines,
          element('form', { class: 'compose', onsubmit: send },
            element('input', {
              name: 'text', placeholder: 'Type a message', autocomplete: 'off',
              'aria-label': 'Message',
            }),
            element('button', { class: 'primary' }, 'Send')),
          element('p', { class: 'banner' }));
      }
      const [form, banner] = [...parts.talk.children].slice(-2);
      form.hidden = !open.canSend;
      banner.hidden = open.canSend;
      banner.textContent = open.isReadOnly
        ? 'You are not in this group any more.' : 'Only admins may write in this group.';
      const sorted = open.msgs.toArray()
        .sort(ns('SimMessageTable').compare)
        .slice(-MOST_MESSAGES);
      parts.lines.replaceChildren(...sorted.map(line));
      parts.lines.scrollTop = parts.lines.scrollHeight;
    };

    /** Draw into `element` from now on. */
    exports.start = (target) => {
      root = target;
      for (const source of [stream, conn, socket, chats]) source.on('all', drawSoon);
      messages.on('add change:ack', drawSoon);
      drawSoon();
    };
  });
})(self.Simulator);
