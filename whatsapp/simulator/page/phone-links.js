'use strict';
/** The codes that browsers show, to be scanned or typed, and the browsers that are linked. */
(({ module, start }) => {
  module('SimPhoneLinks', (exports, ns) => {
    const FIRST_PHONE = 33639980001; // from the range that French authorities keep for fiction
    const { element, time } = ns('SimParts');
    const written = ns('SimNames').phone;
    const { ask } = ns('SimPhone');
    const by = (id) => document.getElementById(id);

    const freePhone = (accounts) => {
      const taken = new Set(accounts.map((account) => account.phone));
      let phone = FIRST_PHONE;
      while (taken.has(String(phone))) phone += 1;
      return String(phone);
    };

    const qrTile = (waiting, phone) => {
      const scan = (event) => {
        event.preventDefault();
        const fields = event.target.elements;
        ask('scan', { ref: waiting.ref, phone: fields.phone.value, name: fields.name.value });
      };
      const number = element('input', { name: 'phone', 'aria-label': 'Phone number', inputmode: 'tel' });
      number.value = written(phone);
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
          element('div', { class: 'detail' }, `waiting since ${time(waiting.since)}`),
          element('form', { onsubmit: scan }, number, name, button)));
    };

    const typedTile = ({ phone }) => {
      const type = (event) => {
        event.preventDefault();
        const fields = event.target.elements;
        ask('enter_code', { phone, code: fields.code.value, name: fields.name.value });
      };
      const name = element('input', { name: 'name', 'aria-label': 'Name' });
      name.value = 'Camille';
      return element('article', { class: 'tile' },
        element('div', { class: 'grow' },
          element('strong', {}, `A browser shows a code for ${written(phone)}`),
          element('form', { onsubmit: type },
            element('input', {
              name: 'code', 'aria-label': 'Code', placeholder: 'ABCD-EFGH', autocomplete: 'off',
            }),
            name,
            element('button', { class: 'primary' }, 'Link'))));
    };

    const deviceTile = (device, account) => {
      const state = device.online ? 'connected' : `away, ${device.queued} waiting`;
      return element('article', { class: 'tile' },
        element('div', { class: 'grow' },
          element('strong', {}, `${account.name} · ${written(device.account)}`),
          element('div', { class: 'detail' },
            element('span', { class: device.online ? 'dot on' : 'dot' }), state)),
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

    exports.draw = (state) => {
      const phone = freePhone(state.accounts);
      fill('waiting', [
        ...state.link_codes.map(typedTile),
        ...state.waiting.map((waiting) => qrTile(waiting, phone)),
      ], 'No browser shows a code now.');
      fill('devices', state.devices.map((device) => deviceTile(
        device, state.accounts.find((account) => account.phone === device.account))),
      'None yet.');
    };
  });

  start('SimPhone');
})(self.Simulator);
