"""Ways to drive WhatsApp: `base` is the contract, `chromium` the real one, `memory` a stand-in."""
