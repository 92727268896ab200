'use strict';
/**
 * The module runtime of the page: `__d`, `require`, `importNamespace`, `ErrorGuard`, `__debug`.
 *
 * wa-js walks `require('__debug').modulesMap` and binds modules by what they export;
 * whatsapp-web.js calls `require('<module>')`. `require` gives a module's default export when it
 * has one, `importNamespace` always the namespace.
 *
 * Our own files define modules through `self.Simulator` (below) and never through bare globals.
 */
((global) => {
  const modulesMap = Object.create(null);

  const load = (id) => {
    const module = modulesMap[id];
    if (!module) {
      throw Object.assign(new Error(`Requiring unknown module "${id}"`), { name: 'ModuleError' });
    }
    if (module.error) throw module.error;
    if (!module.ready) {
      module.ready = true; // a cycle sees what has been exported so far
      try {
        module.factory.call(
          null, global, require, require, load, requireLazy, module, module.exports);
      } catch (error) {
        module.error = error;
        throw error;
      }
    }
    return module.exports;
  };

  const require = (id) => {
    const exported = load(id);
    return exported && 'default' in exported ? exported.default : exported;
  };

  const requireLazy = (ids, callback) => queueMicrotask(() => callback(...ids.map(require)));

  const define = (id, dependencies, factory) => {
    if (modulesMap[id]) return;
    modulesMap[id] = {
      id, dependencies: dependencies || [], factory, exports: {}, ready: false, error: null,
    };
  };

  Object.assign(global, {
    __d: define,
    require,
    requireLazy,
    importDefault: require,
    importNamespace: (id) => load(id),
    ErrorGuard: {
      skipGuardGlobal() {},
      applyWithGuard: (callback, context, args) => callback.apply(context, args || []),
    },
  });

  global.Simulator = Object.freeze({
    /** Define module `id`; `body(exports, ns)` fills the exports; `ns(id)` imports a namespace. */
    module: (id, body) => define(id, [], (g, r, d, ns, l, m, exports) => { body(exports, ns); }),
    /** Define module `id` with ready-made exports. */
    values: (id, exported) => define(id, [], (g, r, d, n, l, m, exports) => {
      Object.assign(exports, exported);
    }),
    /** `{ A: 'A', B: 'B' }`, frozen. */
    names: (...words) => Object.freeze(Object.fromEntries(words.map((word) => [word, word]))),
    /** Functions that a client looks for or wraps, and that do nothing here. */
    inert: (...words) => Object.fromEntries(words.map((word) => [word, () => null])),
  });

  define('__debug', [], (g, r, d, n, l, m, exports) => { exports.modulesMap = modulesMap; });
  define('Bootloader', [], (g, r, d, n, l, m, exports) => {
    exports.__debug = { componentMap: new Map() };
    exports.loadModules = (components, callback) => {
      queueMicrotask(callback);
      return { remove() {} };
    };
  });
})(self);
