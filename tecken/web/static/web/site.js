"use strict";
// Additions to pages that work without scripts: copy the text of an element, read a file into a field, take files
// that are dropped anywhere on the page.

for (const button of document.querySelectorAll("[data-copy]")) {
  // Browsers offer the clipboard over HTTPS and on localhost only.
  button.hidden = !navigator.clipboard;
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const source = document.getElementById(button.dataset.copy);
  navigator.clipboard.writeText(source.value ?? source.textContent).then(() => {
    // A second click finds "Copied" there.
    const label = button.dataset.label ??= button.textContent;
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = label; }, 1500);
  });
});

for (const input of document.querySelectorAll("input[data-into]")) {
  input.closest("[hidden]").hidden = false;
  input.addEventListener("change", async () => {
    if (input.files.length) document.getElementById(input.dataset.into).value = await input.files[0].text();
  });
}

// Calls take(files) for files that are dropped; the form shows that it accepts them.
function acceptDrops(form, take) {
  document.addEventListener("dragover", (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    form.classList.add("over");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) form.classList.remove("over");
  });
  document.addEventListener("drop", (event) => {
    if (!event.dataTransfer.files.length) return;
    event.preventDefault();
    form.classList.remove("over");
    take(event.dataTransfer.files);
  });
}
