'use strict';
/**
 * The module runtime of /phone: modules as in loader.js, but without its globals, by which a client
 * would take this page for WhatsApp Web.
 */
((global) => {
  const bodies = new Map();
  const loaded = new Map();

  const ns = (id) => {
    if (!loaded.has(id)) {
      loaded.set(id, {});
      bodies.get(id)(loaded.get(id), ns);
    }
    return loaded.get(id);
  };

  global.Simulator = Object.freeze({
    module: (id, body) => { bodies.set(id, body); },
    start: (id) => ns(id).start(),
  });
})(self);
