/* Each <time class="countdown" datetime="…"> says how many minutes and seconds are left.
 * It looks for them anew each second: the page they are on is drawn again while it is open. */
"use strict";

const countDown = () => {
  for (const shown of document.querySelectorAll("time.countdown")) {
    const left = Math.max(0, Math.round((new Date(shown.dateTime) - Date.now()) / 1000));
    shown.textContent = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
  }
};
setInterval(countDown, 1000);
for (const drawn of ["DOMContentLoaded", "htmx:afterSwap"]) {
  document.addEventListener(drawn, countDown);
}
