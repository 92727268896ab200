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
  const part = event.detail.elt.closest("[data-live]");
  if (!part) return;
  const announcer = document.getElementById("announcer");
  const said = part.dataset.announce;
  if (said && announcer.textContent !== said) announcer.textContent = said;
  const title = document.getElementById("account-title").textContent.trim();
  document.title = document.title.replace(/^.*?(?= · )/, title);
  countDown();
  if (event.detail.requestConfig?.verb !== "post") return;
  // htmx finds the focused button again by its id; one that went away leaves the part itself.
  if (document.activeElement === document.body) part.focus({ preventScroll: true });
  parts().forEach((other) => other !== part && htmx.trigger(other, "wake"));
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
