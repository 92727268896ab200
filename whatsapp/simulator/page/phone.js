'use strict';
/** The page /phone: a person plays the phones through the control API. */
(() => {
  const WAIT = 25; // seconds a long poll lasts
  const FIRST_PHONE = 33639980001; // from the range that French authorities keep for fiction
  const by = (id) => document.getElementById(id);

  const element = (name, attributes, ...children) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (key.startsWith('on')) made.addEventListener(key.slice(2), value);
      else made.setAttribute(key, value);
    }
    made.append(...children);
    return made;
  };

  const shown = (digits) => (digits.startsWith('33')
    ? `+33 ${digits.slice(2, 3)} ${digits.slice(3).replace(/(..)(?=.)/g, '$1 ')}`
    : `+${digits}`);

  const tell = (text) => {
    by('message').textContent = text;
    by('message').hidden = !text;
  };

  const ask = async (op, body) => {
    const answer = await fetch(`/__sim/${op}`, {
      method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body),
    });
    const read = await answer.json();
    tell(read.ok ? '' : read.error);
    return read;
  };

  const freePhone = (accounts) => {
    const taken = new Set(accounts.map((account) => account.phone));
    let phone = FIRST_PHONE;
    while (taken.has(String(phone))) phone += 1;
    return String(phone);
  };

  const waitingTile = (waiting, phone) => {
    const scan = (event) => {
      event.preventDefault();
      const fields = event.target.elements;
      ask('scan', { ref: waiting.ref, phone: fields.phone.value, name: fields.name.value });
    };
    const number = element('input', { name: 'phone', 'aria-label': 'Phone number', inputmode: 'tel' });
    number.value = shown(phone);
    const name = element('input', { name: 'name', 'aria-label': 'Name' });
    name.value = 'Camille';
    const button = element('button', { class: 'primary' });
    const label = () => { button.textContent = `Scan as ${number.value}`; };
    number.addEventListener('input', label);
    label();
    const code = encodeURIComponent(waiting.text || waiting.ref);
    return element('article', { class: 'tile' },
      element('div', { class: 'code' }, element('img', { alt: '', src: `/qr.svg?text=${code}` })),
      element('div', { class: 'grow' },
        element('strong', {}, `Code ${waiting.ref.slice(2, 10)}…`),
        element('div', { class: 'detail' },
          `waiting since ${new Date(waiting.since * 1000).toLocaleTimeString()}`),
        element('form', { onsubmit: scan }, number, name, button)));
  };

  const deviceTile = (device, account) => {
    const write = (event) => {
      event.preventDefault();
      const fields = event.target.elements;
      ask('inbound', { account: device.account, from: fields.from.value, body: fields.body.value })
        .then((answer) => { if (answer.ok) fields.body.value = ''; });
    };
    const from = element('input', { name: 'from', 'aria-label': 'From', placeholder: 'From' });
    from.value = '+33 6 39 98 00 99';
    const text = element('input', { name: 'body', 'aria-label': 'Message', placeholder: 'Message' });
    const state = device.online ? 'connected' : `away, ${device.queued} waiting`;
    return element('article', { class: 'tile' },
      element('div', { class: 'grow' },
        element('strong', {}, `${account.name} · ${shown(device.account)}`),
        element('div', { class: 'detail' },
          element('span', { class: device.online ? 'dot on' : 'dot' }), state),
        element('form', { onsubmit: write }, from, text,
          element('button', { class: 'plain' }, 'Write to it'))),
      element('button', {
        class: 'plain', onclick: () => ask('read_all', { account: device.account }),
      }, 'Read everything'),
      element('button', {
        class: 'plain', onclick: () => ask('logout', { account: device.account }),
      }, 'Remove'));
  };

  const fill = (id, tiles, empty) => {
    // Somebody types: their words are not to be wiped away by a new drawing.
    if (by(id).contains(document.activeElement) && document.activeElement.tagName === 'INPUT') return;
    by(id).replaceChildren(...(tiles.length ? tiles : [element('p', { class: 'detail' }, empty)]));
  };

  const draw = (state) => {
    const phone = freePhone(state.accounts);
    fill('waiting', state.waiting.map((waiting) => waitingTile(waiting, phone)),
      'No browser shows a code now.');
    fill('devices', state.devices.map((device) => deviceTile(
      device, state.accounts.find((account) => account.phone === device.account))),
    'None yet.');
  };

  const watch = async (revision) => {
    const query = revision === undefined ? '' : `?after_revision=${revision}&timeout=${WAIT}`;
    let next = revision;
    try {
      const state = await (await fetch(`/__sim/state${query}`)).json();
      if (!state.ok) throw new Error(state.error);
      if (state.revision !== revision) draw(state);
      next = state.revision;
    } catch (error) {
      tell(`The simulator does not answer: ${error.message}`);
      next = undefined;
    }
    setTimeout(watch, next === undefined ? 2000 : 250, next);
  };
  watch();
})();
