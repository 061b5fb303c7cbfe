"use strict";
// Pages that ask for themselves anew: what was opened stays open, nothing is asked behind other tabs, and
// a page that is no longer up to date says so.

const late = document.getElementById("late");
let open = [];

document.addEventListener("htmx:beforeRequest", (event) => {
  if (document.hidden) event.preventDefault();
});

document.addEventListener("htmx:beforeSwap", (event) => {
  const { xhr, target } = event.detail;
  const elsewhere = new URL(xhr.responseURL).pathname !== location.pathname;  // to log in
  late.hidden = xhr.status < 400 && !elsewhere;
  if (elsewhere) event.detail.shouldSwap = false;
  open = [...target.querySelectorAll("details[open][id]")].map((one) => one.id);
});

document.addEventListener("htmx:afterSwap", () => {
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
});

for (const name of ["htmx:sendError", "htmx:timeout"]) {
  document.addEventListener(name, () => { late.hidden = false; });
}
