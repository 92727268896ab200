// What htmx does not do by itself: rest while nobody looks, keep the keyboard's place, count down,
// say aloud what changed, and say when the server is out of reach. No page needs this to work.
"use strict";

const parts = () => document.querySelectorAll("[data-live]");
const wake = () => parts().forEach((part) => htmx.trigger(part, "wake"));

document.addEventListener("htmx:beforeRequest", (event) => {
  if (document.hidden && event.detail.requestConfig.verb === "get") event.preventDefault();
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) wake();
});

let leaving = false;
window.addEventListener("pagehide", () => { leaving = true; });
document.addEventListener("htmx:afterRequest", (event) => {
  if (!leaving) document.getElementById("unreachable").hidden = event.detail.successful;
});

document.addEventListener("htmx:afterSettle", (event) => {
  const part = event.detail.elt.closest("[data-announce]");
  const announcer = document.getElementById("announcer");
  if (part && announcer.textContent !== part.dataset.announce) {
    announcer.textContent = part.dataset.announce;
  }
  // htmx finds the focused element again by its id; one that went away leaves the part itself.
  if (part && event.detail.requestConfig?.verb === "post" && document.activeElement === document.body) {
    part.focus({ preventScroll: true });
  }
  if (part) document.title = document.title.replace(/^.*?(?= · )/, part.querySelector("h2").textContent.trim());
  countDown();
});

function countDown() {
  for (const place of document.querySelectorAll("[data-until]")) {
    const left = Math.max(0, Math.round((Date.parse(place.dataset.until) - Date.now()) / 1000));
    const text = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
    if (place.textContent !== text) place.textContent = text;
  }
}
countDown();
setInterval(countDown, 1000);
