'use strict';
/**
 * Event emitter, model and collection: the observable classes that every store of the page is
 * made of. wa-js recognises them by phrases in their source ("Callback parameter passed is not a
 * function", "Collection initialized without model") and by the name `defineModel`; both clients
 * listen to 'add', 'remove', 'change' and 'change:<property>'.
 */
(({ module }) => {
  const hidden = (target, name, value) => Object.defineProperty(
    target, name, { value, writable: true, configurable: true });

  module('WAWebEventEmitter', (exports) => {
    class EventEmitter {
      on(names, callback, context) {
        if (typeof callback !== 'function') {
          throw new Error('Callback parameter passed is not a function');
        }
        if (!this.__listeners) hidden(this, '__listeners', {});
        for (const name of String(names).split(/\s+/)) {
          (this.__listeners[name] = this.__listeners[name] || []).push({ callback, context });
        }
        return this;
      }

      once(names, callback, context) {
        const self = this;
        function onlyOnce(...args) {
          self.off(names, onlyOnce);
          return callback.apply(context || this, args);
        }
        onlyOnce.wrapped = callback;
        return this.on(names, onlyOnce, context);
      }

      off(names, callback, context) {
        if (!this.__listeners) return this;
        const list = names == null ? Object.keys(this.__listeners) : String(names).split(/\s+/);
        const stays = (entry) => (
          (callback && entry.callback !== callback && entry.callback.wrapped !== callback)
          || (context && entry.context !== context));
        for (const name of list) {
          if (this.__listeners[name]) {
            this.__listeners[name] = this.__listeners[name].filter(stays);
          }
        }
        return this;
      }

      trigger(name, ...args) {
        const listeners = this.__listeners;
        if (!listeners) return this;
        for (const { callback, context } of (listeners[name] || []).slice()) {
          callback.apply(context || this, args);
        }
        if (name !== 'all') {
          for (const { callback, context } of (listeners.all || []).slice()) {
            callback.apply(context || this, [name, ...args]);
          }
        }
        return this;
      }

      emit(name, ...args) { return this.trigger(name, ...args); }
      isListening(name) { return Boolean(this.__listeners?.[name]?.length); }
      bind(names, callback, context) { return this.on(names, callback, context); }
      unbind(names, callback, context) { return this.off(names, callback, context); }
      removeListener(names, callback, context) { return this.off(names, callback, context); }
      removeAllListeners() { return this.off(); }
      listenTo(other, names, callback) { other.on(names, callback, this); return this; }
      listenToOnce(other, names, callback) { other.once(names, callback, this); return this; }
      listenToAndRun(other, names, callback) {
        other.on(names, callback, this);
        callback.call(this);
        return this;
      }
      stopListening(other, names, callback) {
        if (other) other.off(names, callback, this);
        return this;
      }
    }
    exports.default = EventEmitter;
  });

  module('WAWebBaseModel', (exports, ns) => {
    const EventEmitter = ns('WAWebEventEmitter').default;

    /** Properties live in `__x`; setting one triggers 'change:<name>' and 'change'. */
    class BaseModel extends EventEmitter {
      constructor(properties, options) {
        super();
        hidden(this, '__x', {});
        hidden(this, 'collection', options && options.collection);
        const defaults = this.constructor.defaults || {};
        for (const name of Object.keys(defaults)) {
          const value = defaults[name];
          this.__define(name, typeof value === 'function' ? value() : value);
        }
        for (const name of Object.keys(properties || {})) this.__define(name, properties[name]);
        this.initialize(properties, options);
      }

      initialize() {}

      __define(name, value) {
        if (!(name in this.__x) && !Object.getOwnPropertyDescriptor(this, name)) {
          Object.defineProperty(this, name, {
            enumerable: true,
            configurable: true,
            get() { return this.__x[name]; },
            set(next) { this.set({ [name]: next }); },
          });
        }
        this.__x[name] = value;
      }

      get(name) { return this[name]; }

      set(nameOrPatch, value) {
        const patch = typeof nameOrPatch === 'string' ? { [nameOrPatch]: value } : nameOrPatch;
        const changed = [];
        for (const name of Object.keys(patch)) {
          const old = this.__x[name];
          if (old === patch[name] && name in this.__x) continue;
          this.__define(name, patch[name]);
          changed.push([name, patch[name], old]);
        }
        for (const [name, next, old] of changed) this.trigger(`change:${name}`, this, next, old);
        if (changed.length) this.trigger('change', this);
        return this;
      }

      unset(name) { return this.set({ [name]: undefined }); }
      clear() { for (const name of Object.keys(this.__x)) if (name !== 'id') this.unset(name); }
      get attributes() { return { ...this.__x }; }
      get isState() { return true; }
      isIdType() { return true; }
      toJSON() { return { ...this.__x }; }

      /** Plain data: no functions, no other models. */
      serialize() {
        const plain = {};
        for (const [name, value] of Object.entries(this.__x)) {
          if (value instanceof BaseModel || typeof value === 'function') continue;
          plain[name] = value;
        }
        return plain;
      }
    }

    exports.BaseModel = BaseModel;
    exports.defineModel = (model) => {
      if (model.Proxy) model.prototype.proxyName = model.Proxy;
      return model;
    };
  });

  module('WAWebCollection', (exports, ns) => {
    const EventEmitter = ns('WAWebEventEmitter').default;
    const textOf = (id) => (id == null ? id : id.toString());

    class Collection extends EventEmitter {
      constructor(models, options) {
        super();
        if (options && options.parent) this.parent = options.parent;
        if (!this.constructor.model) throw new Error('Collection initialized without model');
        this.modelClass = this.constructor.model;
        this._models = [];
        this._index = {};
        if (models) this.add(models, { silent: true });
      }

      get length() { return this._models.length; }
      isModel(value) { return value instanceof this.modelClass; }

      get(id) {
        if (id == null) return undefined;
        const wanted = id instanceof this.modelClass ? id.id : id;
        return this._index[textOf(wanted._serialized || wanted)];
      }

      assertGet(id) {
        const model = this.get(id);
        if (!model) throw new Error(`collection assertGet: ${id} not found`);
        return model;
      }

      at(position) { return this._models[position]; }

      /** Add one or many. A model that is there already wins, unless `options.merge`. */
      add(value, options) {
        const list = Array.isArray(value) ? value : [value];
        return list.map((raw) => {
          const key = textOf(raw.id);
          const known = this._index[key];
          if (known) {
            if (options && options.merge) known.set(raw.attributes || raw);
            return known;
          }
          const Model = this.modelClass;
          const model = raw instanceof Model ? raw : new Model(raw, { collection: this });
          if (!model.collection) model.collection = this;
          this._index[key] = model;
          this._models.push(model);
          model.on('all', (name, ...args) => { this.trigger(name, ...args); }, this);
          if (!(options && options.silent)) this.trigger('add', model, this, options);
          return model;
        });
      }

      set(value, options) { return this.add(value, { merge: true, ...options }); }

      remove(value) {
        const list = Array.isArray(value) ? value : [value];
        for (const item of list) {
          const model = this.get(item);
          if (!model) continue;
          delete this._index[textOf(model.id)];
          this._models.splice(this._models.indexOf(model), 1);
          model.off('all', null, this);
          this.trigger('remove', model, this);
        }
        return list;
      }

      reset() { this._models = []; this._index = {}; this.trigger('reset', this); }

      sort() {
        if (this.constructor.comparator) this._models.sort(this.constructor.comparator);
        this.trigger('sort', this);
        return this;
      }

      getModelsArray() { return this._models; }
      toArray() { return this._models.slice(); }
      serialize() { return this._models.map((model) => model.serialize()); }
      toJSON() { return this._models.map((model) => model.toJSON()); }
      findFirst(test) { return this._models.find(test); }
      find(test) { return this._models.find(test); }
      head() { return this._models[0]; }
      last() { return this._models[this._models.length - 1]; }
      includes(model) { return this._models.includes(model); }
      where(ids) { return ids.map((id) => this.get(id)).filter(Boolean); }
    }

    const borrowed = [
      'indexOf', 'lastIndexOf', 'every', 'some', 'forEach', 'map', 'filter', 'reduce', 'slice'];
    for (const name of borrowed) {
      Collection.prototype[name] = function forward(...args) { return this._models[name](...args); };
    }
    exports.default = Collection;
  });

  module('WAWebBaseCollection', (exports, ns) => {
    const Collection = ns('WAWebCollection').default;

    /** A collection that can ask for what it lacks: subclasses give `findImpl(id)`. */
    class BaseCollection extends Collection {
      async find(id) {
        const known = this.get(id);
        return known && !known.stale ? known : this.update(id);
      }

      async update(id) {
        const raw = await (this.findImpl ? this.findImpl(id) : null);
        if (raw != null) return this.add(raw, { merge: true })[0];
        const known = this.get(id);
        if (!known) throw new Error(`not found: ${id}`);
        return known;
      }

      findQuery(id) { return this.find(id); }
      gadd(id, options) { return this.add(id && id.id ? id : { id }, options)[0]; }
      gaddUp(id) { return this.gadd(id); }
      handle(value) { return this.add(value, { merge: true }); }
      delete() { this.reset(); }
      initializeFromCache(value) { this.add(value, { silent: true }); }
      saveToCache() {}
      isStateStale() { return false; }
    }
    exports.BaseCollection = BaseCollection;
  });
})(self.Simulator);
