"use strict";
// Pages that refresh themselves: opened details stay open, hidden tabs send no requests, and a page that cannot
// be refreshed shows a warning.

const late = document.getElementById("late");
let openIds = [];

document.addEventListener("htmx:beforeRequest", (event) => {
  if (document.hidden) event.preventDefault();
});

document.addEventListener("htmx:beforeSwap", (event) => {
  const { xhr, target } = event.detail;
  // After a session has ended, the request is redirected to the log-in page.
  const isRedirected = new URL(xhr.responseURL).pathname !== location.pathname;
  late.hidden = xhr.status < 400 && !isRedirected;
  if (isRedirected) event.detail.shouldSwap = false;
  openIds = [...target.querySelectorAll("details[open][id]")].map((details) => details.id);
});

document.addEventListener("htmx:afterSwap", () => {
  for (const id of openIds) document.getElementById(id)?.setAttribute("open", "");
});

for (const name of ["htmx:sendError", "htmx:timeout"]) {
  document.addEventListener(name, () => { late.hidden = false; });
}
