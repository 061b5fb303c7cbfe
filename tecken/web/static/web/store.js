"use strict";
// The slider of sizes: it shows the figures of a row of the table, which has them all without a script.

const form = document.querySelector("[data-sizes]");
if (form) {
  const slider = form.querySelector("input");
  const rows = [...document.querySelectorAll("#sizes tbody tr")];
  const show = () => {
    const row = rows[slider.value];
    for (const cell of document.querySelectorAll("[data-cell]")) {
      cell.textContent = row.cells[cell.dataset.cell].textContent || "not known";
    }
    for (const part of document.querySelectorAll("span[data-megabytes]")) {
      part.textContent = row.dataset.megabytes;
    }
    slider.setAttribute("aria-valuetext", `${row.cells[0].textContent}: ${row.cells[1].textContent} hits`);
  };
  slider.addEventListener("input", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  show();
}
