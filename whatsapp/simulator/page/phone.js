'use strict';
/**
 * The page /phone: a person takes somebody's phone in hand, an account's owner's or anybody else's,
 * reads its conversations and writes. `phone-links.js` draws the codes and the linked browsers.
 */
(({ module }) => {
  module('SimPhone', (exports, ns) => {
    const WAIT = 25; // seconds a long poll lasts
    const PAUSE = 250; // ms between two drawings
    const { element, avatar, bubble, summary, tick, time } = ns('SimParts');
    const written = ns('SimNames').phone;
    const by = (id) => document.getElementById(id);

    let phone = new URLSearchParams(location.search).get('phone') || '';
    let open = ''; // id of the conversation that is shown
    let last = null; // the answer that is drawn
    let asked = 0; // which question the answers are for: older ones come too late

    exports.tell = (text) => {
      by('message').textContent = text;
      by('message').hidden = !text;
    };

    /** One op of the control API; says what went wrong, if it did. */
    exports.ask = async (op, body) => {
      const answer = await fetch(`/__sim/${op}`, {
        method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body),
      });
      const read = await answer.json();
      exports.tell(read.ok ? '' : read.error);
      return read;
    };

    // ---------------------------------------------------------------- whose phone

    const known = () => last.phones.find((one) => one.phone === phone);
    const isOwner = () => last.accounts.some((account) => account.phone === phone);

    const take = (digits) => {
      phone = digits.replace(/\D/g, '');
      open = '';
      history.replaceState(null, '', phone ? `?phone=${phone}` : location.pathname);
      look();
    };

    const drawPhones = () => {
      const label = (one) => (one.name ? `${one.name} · ${written(one.phone)}` : written(one.phone));
      by('known').replaceChildren(...last.phones.map((one) => (
        element('option', { value: written(one.phone) }, one.name))));
      by('quick').replaceChildren(...last.phones.slice(0, 8).map((one) => element('button', {
        class: 'plain', 'aria-pressed': one.phone === phone ? 'true' : 'false',
        onclick: () => take(one.phone),
      }, label(one))));
      by('handset').hidden = !phone;
      if (!phone) return;
      const name = known()?.name || written(phone);
      by('owner').replaceChildren(avatar(name, phone), element('span', { class: 'who' },
        element('strong', {}, name),
        element('span', { class: 'detail' },
          `${written(phone)}${isOwner() ? ', owner of a linked account' : ''}`)));
      by('other').hidden = !isOwner();
    };

    // ---------------------------------------------------------------- conversations

    const titleOf = (id) => {
      const conversation = last.conversations.find((one) => one.id === id);
      const title = conversation ? conversation.title : id.split('@')[0];
      return /^\d+$/.test(title) ? written(title) : title;
    };

    const plain = (line) => ({
      ...line.location,
      ...line.preview,
      type: line.type,
      t: line.at,
      ack: line.ack,
      [line.type === 'chat' ? 'body' : 'caption']: line.body,
      filename: line.media?.filename,
      loc: line.location && [line.location.name, line.location.address].filter(Boolean).join('\n'),
      quotedMsg: line.quoted && { type: 'chat', body: line.quoted.body },
    });

    const doing = (conversation) => (
      { composing: 'typing…', recording: 'recording…' }[conversation?.typing] || '');

    const row = (conversation) => {
      const title = titleOf(conversation.id);
      const { last: line, unread } = conversation;
      return element('li', {}, element('button', {
        class: 'chat', 'aria-current': conversation.id === open ? 'true' : undefined,
        onclick: () => show(conversation.id),
      },
      avatar(title, conversation.id),
      element('span', { class: 'line' },
        element('strong', {}, title), element('time', {}, time(line?.at, { day: true }))),
      element('span', { class: 'line' },
        element('span', { class: 'preview' },
          ...(conversation.typing ? [doing(conversation)] : [
            line?.mine ? tick(line.ack) : '', line ? summary(plain(line)) : 'Nothing yet'])),
        unread ? element('span', { class: 'count', 'aria-label': 'unread' }, String(unread)) : null)));
    };

    const show = (id) => {
      open = id;
      by('talk').replaceChildren();
      look();
    };

    /** What `receive` takes as `media`, from a file that somebody has chosen. */
    const attached = (file) => new Promise((resolve, reject) => {
      const reader = new FileReader();
      reader.onload = () => resolve({
        data: reader.result.split(',')[1] || '', mimetype: file.type, filename: file.name,
      });
      reader.onerror = () => reject(reader.error);
      reader.readAsDataURL(file);
    });

    const write = async (body, media) => {
      const other = open.split('@')[0];
      const group = open.endsWith('@g.us');
      return isOwner()
        ? exports.ask('write_on_phone', { account: phone, to: group ? open : other, body, media })
        : exports.ask('receive', {
          from: phone, body, media, ...(group ? { group: open } : { account: other }),
        });
    };

    const send = async (event) => {
      event.preventDefault();
      const field = event.target.elements.text;
      const body = field.value.trim();
      if (body && (await write(body)).ok) field.value = '';
    };

    const attach = async (event) => {
      const [file] = event.target.files;
      if (!file) return;
      const field = event.target.form.elements.text;
      if ((await write(field.value.trim(), await attached(file))).ok) field.value = '';
      event.target.value = '';
    };

    const frame = () => {
      const title = titleOf(open);
      by('talk').replaceChildren(
        element('header', { class: 'bar' },
          element('button', { class: 'back', 'aria-label': 'Back', onclick: () => show('') }, '‹'),
          avatar(title, open),
          element('span', { class: 'who' },
            element('strong', {}, title),
            element('span', { class: 'detail', id: 'doing', role: 'status' }))),
        element('ol', { class: 'lines' }),
        element('form', { class: 'compose', onsubmit: send },
          element('label', { class: 'plain attach' }, 'Attach',
            element('input', { type: 'file', onchange: attach })),
          element('input', {
            name: 'text', placeholder: 'Type a message', autocomplete: 'off', 'aria-label': 'Message',
          }),
          element('button', { class: 'primary' }, 'Send')));
    };

    const drawTalk = () => {
      by('handset').dataset.open = open ? 'talk' : 'list';
      if (!open) {
        by('talk').replaceChildren(element('p', { class: 'notice' }, 'Choose a chat'));
        return;
      }
      if (!by('talk').querySelector('.lines')) frame();
      const conversation = last.conversations.find((one) => one.id === open);
      by('talk').querySelector('form').hidden = conversation ? !conversation.may_write : false;
      by('doing').textContent = doing(conversation);
      const lines = by('talk').querySelector('.lines');
      lines.replaceChildren(...last.lines.map((line) => bubble(plain(line), {
        id: line.id,
        mine: line.mine,
        author: !line.mine && open.endsWith('@g.us') && (line.name || written(line.author)),
      })));
      lines.scrollTop = lines.scrollHeight;
      const unread = last.lines.filter((line) => !line.read).map((line) => line.id);
      if (unread.length) exports.ask('receipt', { ids: unread, ack: 3, phone });
    };

    const draw = () => {
      drawPhones();
      if (phone) {
        by('chats').replaceChildren(...last.conversations.map(row));
        drawTalk();
      }
      ns('SimPhoneLinks').draw(last);
    };

    // ---------------------------------------------------------------- following the simulator

    /** Look now, and again with every change, until somebody looks at something else. */
    const look = async () => {
      asked += 1;
      const mine = asked;
      let revision;
      while (mine === asked) {
        try {
          const body = { phone: phone || undefined, open: open || undefined };
          if (revision !== undefined) Object.assign(body, { after_revision: revision, timeout: WAIT });
          const answer = await (await fetch('/__sim/phone', {
            method: 'POST',
            headers: { 'Content-Type': 'application/json' },
            body: JSON.stringify(body),
          })).json();
          if (mine !== asked) return;
          if (!answer.ok) throw new Error(answer.error);
          if (answer.revision !== revision) {
            last = answer;
            draw();
          }
          revision = answer.revision;
        } catch (error) {
          const silent = error instanceof TypeError; // as fetch says it
          exports.tell(silent ? 'The simulator does not answer.' : error.message);
          revision = undefined;
        }
        await new Promise((resolve) => { setTimeout(resolve, revision === undefined ? 2000 : PAUSE); });
      }
    };

    exports.start = () => {
      by('pick').addEventListener('submit', (event) => {
        event.preventDefault();
        take(by('whose').value);
      });
      by('other').addEventListener('submit', (event) => {
        event.preventDefault();
        const to = event.target.elements.to.value.replace(/\D/g, '');
        if (to) show(`${to}@c.us`);
      });
      if (phone) by('whose').value = written(phone);
      look();
    };
  });
})(self.Simulator);
