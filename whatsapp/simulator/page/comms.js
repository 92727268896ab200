'use strict';
/**
 * The socket to the simulator's server (packets: see sessions.py). It comes back by itself after
 * a loss, 0.2 s later at first, 5 s at most; a call that was under way then fails with status 408.
 */
(({ module }) => {
  module('SimComms', (exports, ns) => {
    const FIRST_PAUSE = 200; // ms
    const LONGEST_PAUSE = 5000; // ms
    const calls = new Map();
    const handlers = {};
    let socket;
    let lastCall = 0;
    let pause = FIRST_PAUSE;
    let timer;

    const failure = (text, status) => Object.assign(new Error(text), { status });

    const settle = (packet) => {
      const call = calls.get(packet.id);
      calls.delete(packet.id);
      if (!call) return;
      if (packet.error) call.reject(failure(packet.error.text, packet.error.code));
      else call.resolve(packet.result);
    };

    // One after the other: a receipt must not overtake the message before it.
    let chain = Promise.resolve();
    const handle = (packet) => {
      chain = chain
        .then(() => handlers[packet.type] && handlers[packet.type](packet))
        .then(() => packet.n && exports.send({ type: 'got', n: packet.n }))
        .catch((error) => console.error(`simulator: ${packet.type} failed`, error));
    };

    /** Why there is no connection on purpose: '', 'conflict' or 'stopped'. */
    exports.halted = '';
    exports.on = (type, handler) => { handlers[type] = handler; };
    exports.isOpen = () => Boolean(socket) && socket.readyState === WebSocket.OPEN;

    exports.connect = () => {
      clearTimeout(timer);
      exports.halted = '';
      const mine = new WebSocket(`${location.origin.replace(/^http/, 'ws')}/ws/chat`);
      socket = mine;
      mine.onopen = () => {
        pause = FIRST_PAUSE;
        exports.send({ type: 'hello', token: ns('SimStore').user.token || null });
        handlers.open();
      };
      mine.onmessage = (event) => {
        const packet = JSON.parse(event.data);
        if (packet.type === 'result') settle(packet);
        else handle(packet);
      };
      mine.onclose = () => {
        if (mine !== socket) return;
        for (const call of calls.values()) call.reject(failure('socket closed', 408));
        calls.clear();
        handlers.close();
        if (exports.halted) return;
        timer = setTimeout(exports.connect, pause);
        pause = Math.min(pause * 2, LONGEST_PAUSE);
      };
    };

    exports.send = (packet) => { if (exports.isOpen()) socket.send(JSON.stringify(packet)); };

    /** Ask the server; rejects with `status` 408 when there is no connection, or it is lost. */
    exports.call = (op, args) => new Promise((resolve, reject) => {
      if (!exports.isOpen()) {
        reject(failure('offline', 408));
        return;
      }
      lastCall += 1;
      calls.set(lastCall, { resolve, reject });
      exports.send({ type: 'call', id: lastCall, op, args });
    });

    /** Close, and do not come back until `connect` is called. */
    exports.halt = (why) => {
      exports.halted = why;
      clearTimeout(timer);
      if (socket) socket.close();
    };
  });

  module('WAComms', (exports, ns) => {
    exports.stopComms = () => ns('SimComms').halt('stopped');
    exports.startHandlingRequests = () => {};
  });
})(self.Simulator);
