"""A WhatsApp Web that lives on this machine only.

web.whatsapp.com cannot be reached by tests, benchmarks or the demo, so the product ships a
stand-in: a server on loopback whose page offers the internal modules that WhatsApp Web offers,
well enough that two unrelated, unmodified clients (wa-js and whatsapp-web.js) run on it. Its
record of what reached "WhatsApp" is the witness in every test of reliability.

Rooms:

* `wids` phone numbers, LIDs and the ids made of them;
* `behaviour` how the pretended WhatsApp answers, and how it fails on request;
* `state` accounts, linked devices and the record, of `entities`; `persistence` and `journal` keep
  them over a restart; `directory` who is on WhatsApp;
* `outgoing` what pages send, `incoming` what others write, `groups` who is where together;
* `media` encrypts and decrypts files, so that a test can compare bytes;
* `sessions` one WebSocket each: pairing, calls, what is pushed;
* `server` routes, page, content security policy, upload and download;
* `control` the control API for tests, demo and benchmarks, `control_people` its ops about people
  (`control_input` reads the requests); `conversations` what one phone shows;
* `client` its Python side (`client_people`, `client_call`), `record` what that tells;
* `process` runs it all as a subprocess; `tls` a certificate for web.whatsapp.com, made at run time;
* `page/` what the browser loads.

Nothing in here knows Django or the rest of the product.
"""
