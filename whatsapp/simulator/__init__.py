"""A WhatsApp Web that lives on this machine only.

web.whatsapp.com cannot be reached by tests, benchmarks or the demo, so the product ships a
stand-in: a server on loopback whose page offers the internal modules that WhatsApp Web offers,
well enough that two unrelated, unmodified clients (wa-js and whatsapp-web.js) run on it. Its
record of what reached "WhatsApp" is the witness in every test of reliability.

Rooms:

* `wids` phone numbers, LIDs and the ids made of them;
* `behaviour` how the pretended WhatsApp answers, and how it fails on request;
* `state` accounts, linked devices and the record; `directory` who is on WhatsApp;
* `media` decrypts what was uploaded, so that a test can compare bytes;
* `sessions` one WebSocket each: pairing, sending, receipts;
* `server` routes, page, content security policy, upload;
* `control` the control API for tests, demo and benchmarks (`control_input` reads its requests);
  `client` its Python side;
* `process` runs it all as a subprocess; `tls` a certificate for web.whatsapp.com, made at run time;
* `page/` what the browser loads.

Nothing in here knows Django or the rest of the product.
"""
